#!/usr/bin/env python3
"""Counts user-space instructions per command with valgrind's callgrind, for machines without perf counters.

usage: scripts/instructions.py [--items N] [--profile DIR]
  --items N      so many older items wait in the queue before the cycle (default 0), and so many members stand on the
                 board (but at least 5000)
  --profile DIR  keep the profiles there, one a line of the table; read them with callgrind_annotate
environment: MODQ_SO the module, MODQ_SERVER the server's program

As in `make bench`: 50 connections, 32 requests on the way in each, 16-byte ids, 200-byte payloads, no AOF, no replica.
Figures hold the whole server's work. Compare with the INCR of the same run, and boards with the sorted set: it has the same
members and scores, and both add 0 to 99.
"""
import argparse
import atexit
import glob
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

CONNECTIONS, DEPTH, KEYS, BATCH = 50, 32, 5000, 100


def words(*parts):
    parts = [p if isinstance(p, bytes) else str(p).encode() for p in parts]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def reply(self):
        line = self.file.readline()
        if not line:
            sys.exit("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(max(int(rest), 0))]
        if kind == b"-":
            sys.exit("the server says: " + rest.decode())
        return int(rest) if kind == b":" else rest


class Server:
    def __init__(self, program, module, directory):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.directory = directory
        self.process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-instr=no", "-q", program]
            + ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"]
            + ["--hz", "1", "--dynamic-hz", "no", "--loadmodule", module],
            cwd=directory,
            stdout=subprocess.DEVNULL,
        )
        atexit.register(self.process.kill)
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.1)
        self.connections = [Connection(self.port) for _ in range(CONNECTIONS)]

    def control(self, *args):
        command = ["callgrind_control", *args, str(self.process.pid)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def batch(self, commands):
        """Sends to every connection its 32 commands, then reads all answers."""
        for connection, sent in zip(self.connections, commands):
            connection.socket.sendall(b"".join(sent))
        return [[c.reply() for _ in sent] for c, sent in zip(self.connections, commands)]

    def counted(self, commands):
        self.control("-i", "on")
        replies = self.batch(commands)
        self.control("-i", "off")
        return replies

    def instructions(self, name, keep):
        """What was counted since the last call."""
        self.control("-d", name)
        newest = max(glob.glob(self.directory + "/callgrind.out.*"), key=os.path.getmtime)
        with open(newest, encoding="utf-8", errors="replace") as dump:
            total = re.search(r"^totals: (\d+)", dump.read(), re.MULTILINE)
        if keep:
            shutil.copy(newest, f"{keep}/{name.replace(' ', '-')}.callgrind")
        os.remove(newest)
        return int(total[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--profile")
    options = parser.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    module = os.path.abspath(os.environ.get("MODQ_SO", root + "/target/release/libmodq.so"))
    program = os.path.abspath(shutil.which(os.environ.get("MODQ_SERVER", "redis-server")) or "redis-server")
    if options.profile:
        os.makedirs(options.profile, exist_ok=True)
    pick = random.Random(1)

    def batches(make):
        return [[make(c, n) for n in range(DEPTH)] for c in range(CONNECTIONS)]

    def key(prefix):
        return b"%s:%06d" % (prefix, pick.randrange(KEYS))

    with tempfile.TemporaryDirectory() as directory:
        server = Server(program, module, directory)
        per_command = CONNECTIONS * DEPTH

        def show(name, count, rounds):
            n = server.instructions(name, options.profile) // (per_command * rounds)
            print(f"{name:24}{n:9,}", flush=True)
            return n

        def steady(name, make, rounds=3):
            for _ in range(2):
                server.batch(batches(make))
            for _ in range(rounds):
                server.counted(batches(make))
            show(name, make, rounds)

        def fill(make, times=1, keys=KEYS):
            for first in range(0, keys, per_command):
                for _ in range(times):
                    server.batch(batches(lambda c, n: make((first + c * DEPTH + n) % keys)))

        # The control; all keys exist already, as those of the limits do.
        fill(lambda i: words("INCR", b"i:%06d" % i))
        steady("INCR", lambda c, n: words("INCR", key(b"i")))
        for algo in ("LOG", "GCRA"):
            for state, quota, times in (("admitted", 1000, 3), ("denied", 10, 11)):
                tail = (quota, 3600000) if algo == "LOG" else (quota, 3600000, "ALGO", algo)
                name = f"{algo}{quota}".encode()
                fill(lambda i: words("RATELIMIT.CHECK", b"%s:%06d" % (name, i), *tail), times)
                steady(f"CHECK {algo} {state}", lambda c, n: words("RATELIMIT.CHECK", key(name), *tail))

        members = max(KEYS, options.items)

        def member(i=None):
            return b"member:%09d" % (pick.randrange(members) if i is None else i)

        scores = [pick.randrange(1000) for _ in range(members)]
        fill(lambda i: words("RANK.ADD", "b", member(i), scores[i]), keys=members)
        fill(lambda i: words("ZADD", "z", scores[i], member(i)), keys=members)
        # The same steps for both, which keep the scores the same.
        for command, make in (
            ("RANK.ADD", lambda who, step: words("RANK.ADD", "b", who, step)),
            ("ZINCRBY", lambda who, step: words("ZINCRBY", "z", step, who)),
        ):
            pick.seed(2)
            steady(command, lambda c, n, make=make: make(member(), pick.randrange(100)))
        steady("RANK.GET", lambda c, n: words("RANK.GET", "b", member()))
        steady("ZREVRANK", lambda c, n: words("ZREVRANK", "z", member()))

        payload, made = b"x" * 200, iter(range(10**9))

        def submit(c, n):
            return words("MODQ.SUBMIT", "q", b"item:%011d" % next(made), payload)

        for _ in range(options.items // per_command):
            server.batch(batches(submit))

        # Each step of the cycle for all connections at once, as many moderators as there are requests.
        claim = batches(lambda c, n: words("MODQ.CLAIM", "q", b"moderator:%06d" % (c * DEPTH + n), "COUNT", 1, "NEW"))

        def resolve(claimed):
            return [[words("MODQ.RESOLVE", "q", r[0][0], r[0][2]) for r in replies] for replies in claimed]

        total = 0
        rounds = 3
        for step in ("SUBMIT", "CLAIM", "RESOLVE"):
            for done in range(rounds + 1):
                run = {name: server.batch for name in ("SUBMIT", "CLAIM", "RESOLVE")}
                run[step] = server.counted if done else server.batch
                run["SUBMIT"](batches(submit))
                claimed = run["CLAIM"](claim)
                run["RESOLVE"](resolve(claimed))
            total += show(step, None, rounds)
        print(f"{'SUBMIT + CLAIM + RESOLVE':24}{total:9,}")

        # A hundred items at a time: a batch in, a claim of as many by one moderator, and these decided. The figures are for an item.
        def msubmit(c):
            items = [(next(made), payload) for _ in range(BATCH)]
            flat = [part for n, text in items for part in (b"item:%011d" % n, text)]
            return [words("MODQ.MSUBMIT", "q", BATCH, *flat)]

        def mresolve(replies):
            flat = [part for claimed in replies[0] for part in (claimed[0], claimed[2])]
            return [words("MODQ.MRESOLVE", "q", BATCH, *flat)]

        claims = [[words("MODQ.CLAIM", "q", b"moderator:%06d" % c, "COUNT", BATCH, "NEW")] for c in range(CONNECTIONS)]
        total = 0
        for step in ("MSUBMIT", "CLAIM 100", "MRESOLVE"):
            for done in range(rounds + 1):
                run = {name: server.batch for name in ("MSUBMIT", "CLAIM 100", "MRESOLVE")}
                run[step] = server.counted if done else server.batch
                run["MSUBMIT"]([msubmit(c) for c in range(CONNECTIONS)])
                claimed = run["CLAIM 100"](claims)
                run["MRESOLVE"]([mresolve(replies) for replies in claimed])
            per_item = server.instructions(step, options.profile) // (CONNECTIONS * BATCH * rounds)
            print(f"{step + ', an item':24}{per_item:9,}", flush=True)
            total += per_item
        print(f"{'batches of 100, an item':24}{total:9,}")
        server.process.terminate()
        server.process.wait()


if __name__ == "__main__":
    main()
