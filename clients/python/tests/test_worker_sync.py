"""The worker of threads: on a server that behaves, and while things break."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import history
import pytest
import redis
from proxy import Proxy
from redis.sentinel import Sentinel
from servers import PATIENCE, Server, sentinel, wait_until

from modq import LockLost, Queue, ShardedQueue, WorkClaim, Worker, WrongType

SOURCE = Path(__file__).parent.parent / "src"


@contextmanager
def running(worker: Worker[Any], **close: Any) -> Iterator[list[BaseException]]:
    """The worker in a thread of its own."""
    ended: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        worker.close(**close)
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the worker ends"


def submit(server: Server, queue: str, items: int) -> str:
    with server.client() as client:
        stream = history.switch_on(client, queue)
        pipeline = client.pipeline(transaction=False)
        for i in range(items):
            pipeline.execute_command("MODQ.SUBMIT", queue, f"post:{i}", b"text")
        pipeline.execute()
    return stream


def all_decided(server: Server, queue: str) -> None:
    def ask() -> bool:
        with server.client() as client:
            return bool(client.execute_command("MODQ.LEN", queue) == 0)

    wait_until(ask, "every item is decided")


def test_a_loop(client: redis.Redis, name: str) -> None:
    queue = Queue(client, name)
    for i in range(5):
        queue.submit(f"post:{i}", b"text")
    seen = []
    for claim in queue.work("bot"):
        seen.append((claim.item, claim.payload))
        if len(seen) < 5:
            claim.resolve(decision="fine")
        else:
            break
    assert seen == [(f"post:{i}", b"text") for i in range(5)]
    assert queue.len("ready") == 1, "the one that was left is given back"
    assert queue.stats().resolved == 4
    assert queue.waiters() == []


def test_heartbeats_and_threads(client: redis.Redis, name: str) -> None:
    queue = Queue(client, name)
    for i in range(3):
        queue.submit(f"post:{i}", b"")
    together = threading.Barrier(3, timeout=PATIENCE)

    def slow(claim: WorkClaim[bytes]) -> None:
        together.wait()
        first = claim.deadline
        wait_until(lambda: claim.deadline > first or claim.lost.is_set())
        claim.resolve()

    with running(queue.worker(slow, "bot", concurrency=3, lock_duration=5)):
        wait_until(lambda: queue.len() == 0)
    assert queue.stats().expired == 0


def test_a_lost_lock_is_told(client: redis.Redis, name: str) -> None:
    queue = Queue(client, name)
    queue.submit("post:1", b"")
    told, began, next_one = threading.Event(), threading.Event(), threading.Event()

    def handler(claim: WorkClaim[bytes]) -> None:
        if claim.item == "post:2":
            next_one.set()
            claim.resolve()
            return
        began.set()
        assert claim.lost.wait(PATIENCE)
        with pytest.raises(LockLost):
            claim.check()
        told.set()

    with running(queue.worker(handler, "bot", lock_duration=1)):
        assert began.wait(PATIENCE)
        assert queue.cancel("post:1")
        assert told.wait(PATIENCE)
        queue.submit("post:2", b"")
        assert next_one.wait(PATIENCE), "the worker goes on"


def test_failures_and_the_order_of_a_shutdown(client: redis.Redis, name: str) -> None:
    queue = Queue(client, name)
    for i in range(4):
        queue.submit(f"post:{i}", b"")
    held: list[str] = []
    asked_to_stop, drained = threading.Event(), threading.Event()

    def handler(claim: WorkClaim[bytes]) -> None:
        held.append(claim.item)
        if claim.item == "post:0":
            raise ValueError("no")
        if claim.item == "post:1":
            wait_until(lambda: closing.is_set())
            claim.resolve()
            drained.set()
        elif claim.item == "post:2":
            assert claim.lost.wait(PATIENCE)
            asked_to_stop.set()
        else:
            ignorant.wait(PATIENCE)

    closing, ignorant = threading.Event(), threading.Event()
    worker = queue.worker(handler, "bot", concurrency=4, retry_delay=3600, lock_duration=60)
    events: list[str] = []
    worker.on("closed", lambda: events.append("closed"))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    wait_until(lambda: len(held) == 4)
    wait_until(lambda: queue.len("delayed") == 1, "what failed is released with a delay")
    closer = threading.Thread(target=worker.close, kwargs={"timeout": 0.5}, daemon=True)
    closer.start()
    closing.set()
    closer.join(PATIENCE)
    thread.join(PATIENCE)
    assert drained.is_set() and asked_to_stop.is_set() and events == ["closed"]
    assert queue.len("ready") == 2 and queue.len("locked") == 0, "who did not stop has lost the lock all the same"
    assert queue.stats().resolved == 1
    ignorant.set()


def test_an_error_that_does_not_pass(client: redis.Redis, name: str) -> None:
    client.set(name, "text")
    with pytest.raises(WrongType):
        Queue(client, name).worker(print, "bot").run()


@pytest.mark.parametrize("command", ["MODQ.CLAIM", "MODQ.RESOLVE", "MODQ.MEXTEND"])
def test_lost_replies(server: Server, name: str, proxied: Callable[[int], Proxy], command: str) -> None:
    stream = submit(server, name, 20)
    proxy = proxied(server.port)
    proxy.drop_replies(command, 5)
    unsure: list[str] = []

    def handler(claim: WorkClaim[bytes]) -> None:
        if command == "MODQ.MEXTEND":
            wait_until(lambda: proxy.dropped > 0)
        if not claim.resolve().confirmed:
            unsure.append(claim.item)

    queue = Queue(redis.Redis(port=proxy.port), name)
    with running(queue.worker(handler, "bot", concurrency=4, lock_duration=2)):
        all_decided(server, name)
    assert proxy.dropped >= 1
    assert bool(unsure) == (command == "MODQ.RESOLVE")
    with server.client() as client:
        history.each_decided_once(client, stream, 20)


def test_a_cut_that_nobody_is_told_of(one_server: Server, name: str, proxied: Callable[[int], Proxy]) -> None:
    stream = submit(one_server, name, 1)
    proxy = proxied(one_server.port)
    seen: list[WorkClaim[bytes]] = []

    def handler(claim: WorkClaim[bytes]) -> None:
        seen.append(claim)
        if len(seen) == 1:
            proxy.hang()
            claim.lost.wait(PATIENCE)
        else:
            claim.resolve()

    queue = Queue(redis.Redis(port=proxy.port), name)
    with running(queue.worker(handler, "bot", lock_duration=1, reply_timeout=1)):
        wait_until(lambda: seen and seen[0].lost.is_set(), "the worker gives the lock up")
        proxy.hang(False)
        all_decided(one_server, name)
    with one_server.client() as client:
        history.each_decided_once(client, stream, 1)


def test_kill_and_restart_with_an_aof(own: Callable[..., Server], name: str) -> None:
    server = own("redis-7.0", "appendonly yes", "appendfsync always")
    stream = submit(server, name, 200)
    done: list[str] = []

    def handler(claim: WorkClaim[bytes]) -> None:
        claim.resolve()
        done.append(claim.item)

    queue = Queue(redis.Redis(port=server.port), name)
    with running(queue.worker(handler, "bot", concurrency=8, lock_duration=2)):
        for part in (50, 120):
            wait_until(lambda part=part: len(done) >= part)
            server.kill()
            server.start()
        all_decided(server, name)
    with server.client() as client:
        history.each_decided_once(client, stream, 200)


def test_sentinel_failover(own: Callable[..., Server], name: str) -> None:
    """No item is lost. What the failover loses of the last writes is decided once more."""
    first = own("redis-7.0")
    second = own("redis-7.0", f"replicaof 127.0.0.1 {first.port}")
    watcher = sentinel(first)
    try:
        with watcher.client() as client:
            wait_until(lambda: client.info("sentinel")["master0"]["slaves"] == 1, "Sentinel knows the replica")
        submit(first, name, 100)
        with second.client() as client:
            wait_until(lambda: client.execute_command("MODQ.LEN", name) == 100, "the replica has the items")
        done: list[str] = []

        def handler(claim: WorkClaim[bytes]) -> None:
            claim.resolve()
            done.append(claim.item)
            if len(done) == 30:
                first.kill()

        primary = Sentinel([("127.0.0.1", watcher.port)]).master_for("main")
        with running(Queue(primary, name).worker(handler, "bot", concurrency=4, lock_duration=3)):
            all_decided(second, name)
        assert set(done) == {f"post:{i}" for i in range(100)}
    finally:
        watcher.stop()


def test_heartbeats_of_a_user_who_may_not_batch(own: Callable[..., Server], name: str) -> None:
    """MEXTEND is unknown to older modules and to older ACL rules: then each lock is extended on its own."""
    rights = "+ping +hello +client +modq.claim +modq.resolve +modq.extend +modq.release +modq.leave"
    server = own("redis-7.0", f"user bot on >secret resetchannels ~* {rights}")
    stream = submit(server, name, 3)
    together = threading.Barrier(3, timeout=PATIENCE)

    def slow(claim: WorkClaim[bytes]) -> None:
        first = claim.deadline
        together.wait()
        wait_until(lambda: claim.deadline > first)
        claim.resolve()

    client = redis.Redis(port=server.port, username="bot", password="secret")
    with running(Queue(client, name).worker(slow, "bot", concurrency=3, lock_duration=1)):
        all_decided(server, name)
    with server.client() as admin:
        assert history.each_decided_once(admin, stream, 3).expired == 0


def test_shutdown_gives_back_what_it_never_heard_of(
    one_server: Server, name: str, proxied: Callable[[int], Proxy]
) -> None:
    submit(one_server, name, 1)
    proxy = proxied(one_server.port)
    proxy.drop_replies("MODQ.CLAIM", 1_000_000)
    with one_server.client() as client:
        queue = Queue(redis.Redis(port=proxy.port), name)
        with running(queue.worker(lambda claim: claim.resolve(), "bot", lock_duration=3600)):
            wait_until(lambda: client.execute_command("MODQ.LEN", name, "LOCKED") == 1)
        assert client.execute_command("MODQ.LEN", name, "READY") == 1


def test_shutdown_ends_while_the_server_hangs(one_server: Server, name: str, proxied: Callable[[int], Proxy]) -> None:
    submit(one_server, name, 2)
    proxy = proxied(one_server.port)
    held: list[str] = []

    def handler(claim: WorkClaim[bytes]) -> None:
        held.append(claim.item)
        claim.lost.wait(PATIENCE)

    queue = Queue(redis.Redis(port=proxy.port), name)
    with running(queue.worker(handler, "bot", concurrency=3, reply_timeout=1), timeout=0.1):
        wait_until(lambda: len(held) == 2)
        proxy.hang()


def test_shutdown_of_many_shards_ends_while_the_server_hangs(
    one_server: Server, name: str, proxied: Callable[[int], Proxy]
) -> None:
    """What each shard may cost does not add up."""
    proxy = proxied(one_server.port)
    held: list[str] = []

    def handler(claim: WorkClaim[bytes]) -> None:
        held.append(claim.item)
        claim.lost.wait(PATIENCE)

    with one_server.client() as client:
        ShardedQueue(client, name, shards=40).submit_many([(f"post:{i}", b"") for i in range(40)])
    queue = ShardedQueue(redis.Redis(port=proxy.port), name, shards=40)
    worker = queue.worker(handler, "bot", concurrency=3, reply_timeout=2)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    wait_until(lambda: len(held) == 3)
    proxy.hang()
    threading.Thread(target=worker.close, args=(0.1,), daemon=True).start()
    wait_until(lambda: not thread.is_alive(), "the worker ends")


@pytest.fixture
def patience() -> Iterator[None]:
    """For what waits in the main thread: an exception in it in the end."""

    def late(*_: Any) -> None:
        raise AssertionError("waited in vain")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(PATIENCE))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("how", ["handler", "listener", "signal"])
def test_who_closes_from_within_is_not_waited_for(one_server: Server, name: str, how: str) -> None:
    """Each of these runs in a thread that the end waits for."""
    queue = Queue(redis.Redis(port=one_server.port), name)
    queue.submit("post:1", b"")

    def handler(claim: WorkClaim[bytes]) -> None:
        claim.resolve()
        if how == "handler":
            worker.close()
        elif how == "signal":
            os.kill(os.getpid(), signal.SIGUSR1)

    worker = queue.worker(handler, "bot", drain_timeout=PATIENCE * 2)
    before = signal.signal(signal.SIGUSR1, lambda *_: worker.close())
    if how == "listener":
        worker.on("drained", worker.close)
    worker.run()
    signal.signal(signal.SIGUSR1, before)


def test_a_lock_that_was_held_before_is_extended_first(one_server: Server, name: str) -> None:
    queue = Queue(redis.Redis(port=one_server.port), name)
    queue.submit("post:1", b"")
    [old] = queue.claim("ann", lock=10)
    for claim in queue.work("ann", unique=False, lock_duration=3600):
        assert claim.token == old.token and (claim.deadline - old.deadline).total_seconds() > 3000
        claim.resolve()
        break


def test_a_worker_runs_once(one_server: Server, name: str) -> None:
    worker = Queue(redis.Redis(port=one_server.port), name).worker(lambda claim: claim.resolve(), "bot")
    with running(worker):
        wait_until(lambda: worker._crew)
    with pytest.raises(RuntimeError, match="has run"):
        worker.run()


_MORTAL = """
import random, sys, redis, modq
port, queue, seed = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dice = random.Random(seed)

def handler(claim):
    if dice.random() < 0.02:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    claim.resolve()

modq.Queue(redis.Redis(port=port), queue).worker(handler, "bot", concurrency=5, lock_duration=1).run(handle_signals=True)
print("closed", flush=True)
"""


def start_mortal(server: Server, queue: str, seed: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    arguments = [sys.executable, "-c", _MORTAL, str(server.port), queue, seed]
    return subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE)


def test_a_thousand_items_and_processes_that_are_killed(one_server: Server, name: str) -> None:
    """Four processes of five threads; each is killed with items in hand again and again, and another takes its place."""
    stream = submit(one_server, name, 1000)
    workers = [start_mortal(one_server, name, f"{name}-{i}") for i in range(4)]
    deaths = 0

    def step() -> bool:
        nonlocal deaths
        for i, one in enumerate(workers):
            if one.poll() is not None:
                deaths += 1
                workers[i] = start_mortal(one_server, name, f"{name}-{i}-{deaths}")
        with one_server.client() as client:
            return bool(client.execute_command("MODQ.LEN", name) == 0)

    wait_until(step, "every item is decided")
    for one in workers:
        one.send_signal(signal.SIGTERM)
    for one in workers:
        one.communicate(timeout=PATIENCE)
        assert one.returncode in (0, -signal.SIGKILL, -signal.SIGTERM)
    assert deaths > 0
    with one_server.client() as client:
        assert history.each_decided_once(client, stream, 1000).expired > 0


def test_sigterm_gives_back(one_server: Server, name: str) -> None:
    code = (
        _MORTAL.replace("claim.resolve()", "claim.lost.wait(60)")
        .replace("0.02", "0")
        .replace("lock_duration=1", "drain_timeout=0")
    )
    submit(one_server, name, 3)
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(one_server.port), name, "1"], env=env, stdout=subprocess.PIPE
    )
    with one_server.client() as client:
        wait_until(lambda: client.execute_command("MODQ.LEN", name, "LOCKED") == 3)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
        assert out == b"closed\n" and process.returncode == 0
        assert client.execute_command("MODQ.LEN", name, "READY") == 3
