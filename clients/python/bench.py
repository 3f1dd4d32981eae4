"""What a worker costs over the raw client: claim and resolve, with redis-py alone and with the library, in turns.

    python bench.py [--port 6379] [--items 2000] [--rounds 7] [--payload 500]

A server with the module must listen; the queues it makes are deleted. Printed are the medians of the rounds, per
item, and the fastest: on a machine that does other things as well, look at that.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "src"))

import redis
import redis.asyncio

import modq
import modq.asyncio

KEY = "modq-bench-python"


class Clock:
    """Counts items, and takes the time from the hundredth on: connections are made and warm by then."""

    def __init__(self, items: int) -> None:
        self.items, self.done, self.began, self.took = items, 0, 0.0, 0.0

    def tick(self) -> bool:
        """One more is decided; whether that was the last."""
        self.done += 1
        if self.done == 100:
            self.began = time.perf_counter()
        if self.done == self.items:
            self.took = (time.perf_counter() - self.began) / (self.items - 100) * 1e6
        return self.done == self.items


def fill(client: redis.Redis, items: int, payload: int) -> None:
    client.delete(KEY)
    pipeline: Any = client.pipeline(transaction=False)
    for i in range(items):
        pipeline.execute_command("MODQ.SUBMIT", KEY, f"post:{i}", b"x" * payload)
    pipeline.execute()


def raw_sync(port: int, clock: Clock) -> None:
    """What a careful team would write, without heartbeats or retries: a time-out above BLOCK, ids decoded."""
    client: Any = redis.Redis(port=port, socket_timeout=7)
    while True:
        reply: Any = client.execute_command("MODQ.CLAIM", KEY, "raw", "LOCK", 30000, "BLOCK", 5000)
        [[item, _payload, token, *_]] = reply
        client.execute_command("MODQ.RESOLVE", KEY, item, token)
        if clock.tick():
            break
    client.close()


def worker_sync(port: int, clock: Clock) -> None:
    client = redis.Redis(port=port)
    for claim in modq.Queue(client, KEY).work("bot"):
        claim.resolve()
        if clock.tick():
            break
    client.close()


async def raw_asyncio(port: int, clock: Clock) -> None:
    client: Any = redis.asyncio.Redis(port=port, socket_timeout=7)
    while True:
        reply: Any = await client.execute_command("MODQ.CLAIM", KEY, "raw", "LOCK", 30000, "BLOCK", 5000)
        [[item, _payload, token, *_]] = reply
        await client.execute_command("MODQ.RESOLVE", KEY, item, token)
        if clock.tick():
            break
    await client.connection_pool.disconnect()


async def worker_asyncio(port: int, clock: Clock) -> None:
    client = redis.asyncio.Redis(port=port)
    async with aclosing(modq.asyncio.Queue(client, KEY).work("bot")) as claims:
        async for claim in claims:
            await claim.resolve()
            if clock.tick():
                break
    await client.connection_pool.disconnect()


async def handlers(port: int, clock: Clock) -> None:
    """The same with a handler for each item, which has a task, cancellation and a release if it fails."""
    client = redis.asyncio.Redis(port=port)
    done = asyncio.Event()

    async def handler(claim: modq.asyncio.WorkClaim[bytes]) -> None:
        await claim.resolve()
        if clock.tick():
            done.set()

    worker = modq.asyncio.Queue(client, KEY).worker(handler, "bot")
    running = asyncio.ensure_future(worker.run())
    await done.wait()
    await worker.close()
    await running
    await client.connection_pool.disconnect()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("port", 6379), ("items", 2000), ("rounds", 7), ("payload", 500)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    ways: dict[str, Callable[[Clock], None]] = {
        "sync, raw": lambda clock: raw_sync(asked.port, clock),
        "sync, queue.work": lambda clock: worker_sync(asked.port, clock),
        "asyncio, raw": lambda clock: asyncio.run(raw_asyncio(asked.port, clock)),
        "asyncio, queue.work": lambda clock: asyncio.run(worker_asyncio(asked.port, clock)),
        "asyncio, Worker": lambda clock: asyncio.run(handlers(asked.port, clock)),
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    with redis.Redis(port=asked.port) as client:
        for _ in range(asked.rounds):
            for way, run in ways.items():
                fill(client, asked.items, asked.payload)
                clock = Clock(asked.items)
                run(clock)
                took[way].append(clock.took)
        client.delete(KEY)
    print(
        f"redis-py {redis.__version__}, {asked.items} items of {asked.payload} bytes, median of {asked.rounds} rounds"
    )
    for way, times in took.items():
        base = statistics.median(took[way.split(",")[0] + ", raw"])
        median = statistics.median(times)
        print(f"{way:22} {median:7.0f} µs an item {100 * (median / base - 1):+6.1f} %   (fastest {min(times):.0f})")


if __name__ == "__main__":
    main()
