"""The asyncio worker while things break: lost replies, cuts, killed servers, failover, workers that die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import history
import pytest
import redis.asyncio
from proxy import Proxy
from redis.asyncio.sentinel import Sentinel
from servers import PATIENCE, Server, sentinel, wait_until
from until import until

from modq import errors
from modq.asyncio import Queue, WorkClaim


def connect(port: int, **options: Any) -> redis.asyncio.Redis:
    return redis.asyncio.Redis(port=port, **options)


async def resolve(claim: WorkClaim[bytes]) -> None:
    await claim.resolve(decision="fine")


def submit(server: Server, queue: str, items: int) -> str:
    with server.client() as client:
        stream = history.switch_on(client, queue)
        pipeline = client.pipeline(transaction=False)
        for i in range(items):
            pipeline.execute_command("MODQ.SUBMIT", queue, f"post:{i}", b"text")
        pipeline.execute()
    return stream


def decided(server: Server, queue: str) -> Callable[[], bool]:
    def ask() -> bool:
        with server.client() as client:
            return client.execute_command("MODQ.LEN", queue) == 0

    return ask


async def in_thread(what: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(what)


async def all_decided(server: Server, queue: str) -> None:
    await in_thread(lambda: wait_until(decided(server, queue), "every item is decided"))


@pytest.mark.parametrize("command", ["MODQ.CLAIM", "MODQ.RESOLVE", "MODQ.MEXTEND"])
async def test_lost_replies(server: Server, name: str, proxied: Callable[[int], Proxy], command: str) -> None:
    stream = submit(server, name, 20)
    proxy = proxied(server.port)
    proxy.drop_replies(command, 5)
    unsure: list[str] = []

    async def handler(claim: WorkClaim[bytes]) -> None:
        if command == "MODQ.MEXTEND" and proxy.dropped == 0:
            await until(lambda: proxy.dropped > 0)
        if not (await claim.resolve()).confirmed:
            unsure.append(claim.item)

    queue = Queue(connect(proxy.port), name)
    worker = queue.worker(handler, "bot", concurrency=4, lock_duration=3)
    running = asyncio.ensure_future(worker.run())
    await all_decided(server, name)
    await worker.close()
    await running
    assert proxy.dropped >= 1
    assert bool(unsure) == (command == "MODQ.RESOLVE")
    with server.client() as client:
        history.each_decided_once(client, stream, 20)


async def test_release_and_move_after_a_lost_reply(
    one_server: Server, name: str, proxied: Callable[[int], Proxy]
) -> None:
    stream = submit(one_server, name, 2)
    proxy = proxied(one_server.port)
    proxy.drop_replies("MODQ.RELEASE", 1)
    proxy.drop_replies("MODQ.MOVE", 1)
    queue, second = Queue(connect(proxy.port), name), Queue(connect(proxy.port), f"{name}:second")
    first = True
    done = asyncio.Event()

    async def handler(claim: WorkClaim[bytes]) -> None:
        nonlocal first
        if first:
            first = False
            await claim.release(delay=3600)
        else:
            await claim.move(second)
            done.set()

    worker = queue.worker(handler, "bot")
    running = asyncio.ensure_future(worker.run())
    await asyncio.wait_for(done.wait(), PATIENCE)
    await worker.close()
    await running
    assert proxy.dropped == 2
    assert await second.len() == 1 and await queue.len("delayed") == 1
    with one_server.client() as client:
        assert history.read(client, stream).released == 1


async def test_a_cut_that_nobody_is_told_of(one_server: Server, name: str, proxied: Callable[[int], Proxy]) -> None:
    """Nothing arrives any more, and no connection is closed: the lock is given up by the worker's own clock."""
    stream = submit(one_server, name, 1)
    proxy = proxied(one_server.port)
    seen: list[WorkClaim[bytes]] = []

    async def handler(claim: WorkClaim[bytes]) -> None:
        seen.append(claim)
        if len(seen) == 1:
            proxy.hang()
            await claim.lost.wait()
            return
        await claim.resolve()

    worker = Queue(connect(proxy.port), name).worker(handler, "bot", lock_duration=1, reply_timeout=1)
    stalled: list[Any] = []
    worker.on("stalled", stalled.append)
    running = asyncio.ensure_future(worker.run())
    await until(lambda: seen and seen[0].lost.is_set(), "the worker gives the lock up")
    assert stalled
    proxy.hang(False)
    await all_decided(one_server, name)
    await worker.close()
    await running
    with one_server.client() as client:
        history.each_decided_once(client, stream, 1)


async def test_shutdown_ends_while_the_server_is_gone(
    own: Callable[..., Server], name: str, proxied: Callable[[int], Proxy]
) -> None:
    server = own("redis-7.0")
    submit(server, name, 3)
    proxy = proxied(server.port)
    held: list[WorkClaim[bytes]] = []

    async def handler(claim: WorkClaim[bytes]) -> None:
        held.append(claim)
        await asyncio.sleep(PATIENCE * 2)

    worker = Queue(connect(proxy.port), name).worker(handler, "bot", concurrency=4)
    running = asyncio.ensure_future(worker.run())
    await until(lambda: len(held) == 3)
    proxy.hang()
    await asyncio.wait_for(worker.close(timeout=0.1), PATIENCE)
    await running


async def test_shutdown_gives_back_what_it_never_heard_of(
    one_server: Server, name: str, proxied: Callable[[int], Proxy]
) -> None:
    """A lock whose answer was lost is not known by its token; leaving ends it all the same."""
    submit(one_server, name, 1)
    proxy = proxied(one_server.port)
    proxy.drop_replies("MODQ.CLAIM", 1_000_000)
    worker = Queue(connect(proxy.port), name).worker(resolve, "bot", lock_duration=3600)
    running = asyncio.ensure_future(worker.run())
    with one_server.client() as client:
        await until(lambda: client.execute_command("MODQ.LEN", name, "LOCKED") == 1)
        await worker.close()
        await running
        assert client.execute_command("MODQ.LEN", name, "READY") == 1


async def test_kill_and_restart_with_an_aof(own: Callable[..., Server], name: str) -> None:
    server = own("redis-7.0", "appendonly yes", "appendfsync always")
    stream = submit(server, name, 200)
    done = 0

    async def handler(claim: WorkClaim[bytes]) -> None:
        nonlocal done
        await asyncio.sleep(random.uniform(0, 0.01))
        await claim.resolve()
        done += 1

    worker = Queue(connect(server.port), name).worker(handler, "bot", concurrency=8, lock_duration=2)
    running = asyncio.ensure_future(worker.run())
    for part in (50, 120):
        await until(lambda part=part: done >= part)
        server.kill()
        await in_thread(server.start)
    await all_decided(server, name)
    await worker.close()
    await running
    with server.client() as client:
        history.each_decided_once(client, stream, 200)


async def test_sentinel_failover(own: Callable[..., Server], name: str) -> None:
    """The worker finds the new primary by itself, and no item is lost. What the failover loses of the last writes is
    decided once more, so here an item may be decided twice, but by no more than were in hand."""
    first = own("redis-7.0")
    second = own("redis-7.0", f"replicaof 127.0.0.1 {first.port}")
    watcher = sentinel(first)
    try:
        with watcher.client() as client:
            wait_until(lambda: client.info("sentinel")["master0"]["slaves"] == 1, "Sentinel knows the replica")
        submit(first, name, 100)
        with second.client() as client:
            wait_until(lambda: client.execute_command("MODQ.LEN", name) == 100, "the replica has the items")
        manager = Sentinel([("127.0.0.1", watcher.port)])
        client = manager.master_for("main")
        done: list[str] = []

        async def handler(claim: WorkClaim[bytes]) -> None:
            await claim.resolve()
            done.append(claim.item)
            if len(done) == 30:
                await in_thread(first.kill)

        worker = Queue(client, name).worker(handler, "bot", concurrency=4, lock_duration=3)
        running = asyncio.ensure_future(worker.run())
        await all_decided(second, name)
        await worker.close()
        await running
        assert set(done) == {f"post:{i}" for i in range(100)}
        assert len(done) <= 100 + 8
    finally:
        watcher.stop()


async def die(worker: Any) -> None:
    """As if the process had gone: the connections end, and nothing is said any more, by whatever part of it."""

    async def silence(_command: Any) -> Any:
        raise RuntimeError("dead")

    crew = worker._crew
    for line in [*crew._lines.values(), *(slot.line for slot in crew.slots)]:
        await line.close()
        line.run = line.run_all = silence


async def test_a_thousand_items_and_workers_that_die(server: Server, name: str) -> None:
    """Twenty workers, each with connections of its own. Again and again one dies with an item in hand, whose lock stays until
    its deadline, and a new one takes its place."""
    stream = submit(server, name, 1000)
    dice = random.Random(name)

    async def live() -> None:
        client = connect(server.port)
        died = asyncio.Event()

        async def handler(claim: WorkClaim[bytes]) -> None:
            luck = dice.random()
            if luck < 0.05:
                await die(worker)
                died.set()
                await asyncio.sleep(PATIENCE)
            elif luck < 0.1:
                await claim.release()
            else:
                await claim.resolve()

        worker = Queue(client, name).worker(handler, "bot", lock_duration=1)
        running = asyncio.ensure_future(worker.run())
        try:
            await asyncio.wait({running, dying := asyncio.ensure_future(died.wait())}, return_when="FIRST_COMPLETED")
        finally:
            dying.cancel()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.connection_pool.disconnect()

    async def forever() -> None:
        while True:
            await live()

    workers = [asyncio.ensure_future(forever()) for _ in range(20)]
    await all_decided(server, name)
    for one in workers:
        one.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    with server.client() as client:
        story = history.each_decided_once(client, stream, 1000)
    assert story.expired > 0 and story.released > 0


async def test_once_is_never_twice(one_server: Server, name: str, proxied: Callable[[int], Proxy]) -> None:
    """A client that repeats by itself would count the report again; the library does not let it."""
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    proxy = proxied(one_server.port)
    client = connect(proxy.port, retry=Retry(NoBackoff(), 5), retry_on_error=[redis.ConnectionError])
    queue = Queue(client, name)
    await queue.submit("post:1", b"")
    proxy.drop_replies("MODQ.SUBMIT", 1)
    with pytest.raises(errors.LOST):
        await queue.submit("post:1", b"", ondup="bump")
    item = await queue.get("post:1")
    assert item is not None and item.reports == 2
    proxy.drop_replies("MODQ.SUBMIT", 1)
    assert await queue.submit("post:1", b"") == "EXISTS"
    [claim] = await queue.claim("alice")
    proxy.drop_replies("MODQ.RESOLVE", 1)
    assert (await claim.resolve()).confirmed is False
    await queue.close()
