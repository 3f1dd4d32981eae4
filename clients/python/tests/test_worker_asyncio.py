"""The asyncio worker on a server that behaves: claims, heartbeats, the ends of claims, the order of shutdown."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import aclosing
from typing import Any

import pytest
import redis.asyncio
from servers import PATIENCE, Server
from until import drained, until

from modq.asyncio import Queue, WorkClaim, Worker
from modq.errors import LockLost, NoItem, Stale, WrongType


async def test_a_loop_with_one_claim_at_a_time(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    for i in range(5):
        await queue.submit(f"post:{i}", b"text")
    seen = []
    async with aclosing(queue.work("bot")) as claims:
        async for claim in claims:
            assert claim.payload == b"text"
            await claim.resolve(decision="fine")
            seen.append(claim.item)
            if len(seen) == 5:
                break
    assert seen == [f"post:{i}" for i in range(5)]
    assert (await queue.stats()).resolved == 5
    assert await queue.waiters() == []


async def test_tasks_of_a_loop(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    for i in range(30):
        await queue.submit(f"post:{i}", b"")
    most, now, done = 0, 0, []

    async def handle(claim: WorkClaim[bytes]) -> None:
        nonlocal most, now
        async with claim:
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
            await claim.resolve()
            done.append(claim.item)

    tasks = set()
    loop = queue.work("bot", concurrency=4)
    async for claim in loop:
        tasks.add(asyncio.ensure_future(handle(claim)))
        if len(tasks) == 30:
            break
    await asyncio.gather(*tasks)
    await loop.aclose()
    assert sorted(done) == sorted(f"post:{i}" for i in range(30))
    assert 1 < most <= 4


async def test_what_is_not_settled_goes_back(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    async with aclosing(queue.work("bot")) as claims:
        async for claim in claims:
            if claim.deliveries == 2:
                break
    item = await queue.get("post:1")
    assert item is not None and item.state == "ready" and item.deliveries == 2


async def test_heartbeats_keep_a_slow_handlers_lock(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    for i in range(3):
        await queue.submit(f"post:{i}", b"")
    seen: Counter[str] = Counter()

    async def slow(claim: WorkClaim[bytes]) -> None:
        seen[claim.item] += 1
        first = claim.deadline
        await until(lambda: claim.deadline > first)
        await claim.resolve()

    worker = queue.worker(slow, "bot", concurrency=3, lock_duration=5)
    running = asyncio.ensure_future(worker.run())
    await drained(queue)
    await worker.close()
    await running
    assert seen == {f"post:{i}": 1 for i in range(3)}


async def test_a_lost_lock_cancels_the_handler(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    cancelled, lost, began = asyncio.Event(), [], asyncio.Event()

    async def handler(claim: WorkClaim[bytes]) -> None:
        began.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            assert claim.lost.is_set()
            cancelled.set()
            raise

    worker = queue.worker(handler, "bot", lock_duration=1)
    worker.on("lock_lost", lost.append)
    running = asyncio.ensure_future(worker.run())
    await asyncio.wait_for(began.wait(), PATIENCE)
    assert await queue.cancel("post:1")
    await asyncio.wait_for(cancelled.wait(), PATIENCE)
    # The worker goes on with the next.
    began.clear()
    await queue.submit("post:2", b"")
    await asyncio.wait_for(began.wait(), PATIENCE)
    assert [claim.item for claim in lost] == ["post:1"]
    await worker.close(timeout=0)
    await running


async def test_inside_a_block_the_loss_is_an_exception(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    loop = queue.work("bot", lock_duration=1)
    async for claim in loop:
        with pytest.raises(LockLost):
            async with claim:
                await queue.cancel("post:1")
                await asyncio.sleep(PATIENCE)
        with pytest.raises((NoItem, Stale)):
            await claim.resolve()
        break
    await loop.aclose()


async def test_a_handler_that_fails_releases_with_a_delay(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    errors: list[BaseException] = []

    async def handler(claim: WorkClaim[bytes]) -> None:
        raise ValueError("no")

    worker = queue.worker(handler, "bot", retry_delay=3600)
    worker.on("error", errors.append)
    running = asyncio.ensure_future(worker.run())
    await until(lambda: errors)

    async def delayed() -> bool:
        return await queue.len("delayed") == 1

    await until(delayed)
    await worker.close()
    await running
    assert isinstance(errors[0], ValueError)


async def test_a_cancellation_inside_a_handler_ends_only_that_handler(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    errors: list[BaseException] = []

    async def handler(claim: WorkClaim[bytes]) -> None:
        if claim.deliveries == 1:
            inner = asyncio.ensure_future(asyncio.sleep(PATIENCE))
            inner.cancel()
            await inner
        await claim.resolve()

    worker = queue.worker(handler, "bot")
    worker.on("error", errors.append)
    running = asyncio.ensure_future(worker.run())
    await drained(queue)
    await worker.close()
    await running
    assert [type(error) for error in errors] == [asyncio.CancelledError]


async def test_no_claim_is_held_longer_than_the_most(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    lost: list[Any] = []

    async def handler(claim: WorkClaim[bytes]) -> None:
        if claim.deliveries == 1:
            await asyncio.sleep(PATIENCE * 2)
        await claim.resolve()

    worker = queue.worker(handler, "bot", lock_duration=0.5, max_hold=1)
    worker.on("lock_lost", lost.append)
    running = asyncio.ensure_future(worker.run())
    await drained(queue)
    await worker.close()
    await running
    assert len(lost) == 1 and (await queue.stats()).expired == 1


async def test_a_user_with_few_rights(own: Any, name: str) -> None:
    """Connections of the library's own sign in as the client does; what the user may not do ends the worker."""
    server = own(
        "redis-7.0", "user bot on >secret resetchannels ~q* +ping +hello +client +modq.claim +modq.resolve +modq.leave"
    )
    with server.client() as admin:
        admin.execute_command("MODQ.SUBMIT", name, "post:1", "")
    client = redis.asyncio.Redis(port=server.port, username="bot", password="secret")
    async with aclosing(Queue(client, name).work("bot")) as claims:
        async for claim in claims:
            await claim.resolve()
            break

    async def handler(claim: WorkClaim[bytes]) -> None: ...

    with pytest.raises(redis.exceptions.NoPermissionError):
        await asyncio.wait_for(Queue(client, "other").worker(handler, "bot").run(), PATIENCE)
    wrong = redis.asyncio.Redis(port=server.port, username="bot", password="wrong")
    with pytest.raises(redis.exceptions.AuthenticationError):
        await asyncio.wait_for(Queue(wrong, name).worker(handler, "bot").run(), PATIENCE)


async def test_the_order_of_a_shutdown(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    for i in range(3):
        await queue.submit(f"post:{i}", b"")
    go, held = asyncio.Event(), []

    async def handler(claim: WorkClaim[bytes]) -> None:
        held.append(claim)
        if claim.item == "post:0":
            await go.wait()
            await claim.resolve()
        else:
            await asyncio.sleep(PATIENCE * 2)

    worker = queue.worker(handler, "bot", concurrency=3, lock_duration=60)
    events: list[str] = []
    worker.on("closed", lambda: events.append("closed"))
    running = asyncio.ensure_future(worker.run())
    await until(lambda: len(held) == 3)
    await queue.submit("post:3", b"")
    closing = asyncio.ensure_future(worker.close(timeout=1))
    go.set()
    await closing
    await running
    assert events == ["closed"]
    # One was drained, two were cancelled and given back at once, and none was claimed any more.
    assert await queue.len("ready") == 3
    assert (await queue.stats()).resolved == 1
    assert await queue.waiters() == []


async def test_an_error_that_does_not_pass_ends_the_worker(aclient: Any, name: str) -> None:
    await aclient.set(name, "text")
    queue = Queue(aclient, name)

    async def handler(claim: WorkClaim[bytes]) -> None:
        raise AssertionError

    with pytest.raises(WrongType):
        await asyncio.wait_for(Worker(queue, handler, "bot").run(), PATIENCE)


async def test_a_lock_that_was_held_before_is_extended_first(aclient: redis.asyncio.Redis, name: str) -> None:
    """Of somebody known by name, whose process died: an old lock may end before the first heartbeat."""
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    [old] = await queue.claim("ann", lock=10)
    async with aclosing(queue.work("ann", unique=False, lock_duration=3600)) as claims:
        async for claim in claims:
            assert claim.token == old.token
            assert (claim.deadline - old.deadline).total_seconds() > 3000
            await claim.resolve()
            break


async def test_cancelling_the_end_makes_it_short_and_leaves_nothing(aclient: redis.asyncio.Redis, name: str) -> None:
    """As asyncio.run does at Ctrl-C while the worker drains: what is held must be given back all the same."""
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    worker = queue.worker(sleeping, "bot", drain_timeout=PATIENCE * 2)
    running = asyncio.ensure_future(worker.run())
    await until(lambda: worker._crew is not None and worker._crew.heart.held, "it is in hand")
    closing = asyncio.ensure_future(worker.close())
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait_for(asyncio.wait({running}), PATIENCE)
    assert running.cancelled()
    assert await queue.len("ready") == 1
    await closing
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_signal_is_for_all_workers_of_the_loop(aclient: redis.asyncio.Redis, name: str) -> None:
    workers = [Queue(aclient, name).worker(sleeping, "bot") for _ in range(2)]
    running = [asyncio.ensure_future(worker.run(handle_signals=True)) for worker in workers]
    await until(lambda: all(worker._crew is not None for worker in workers), "both run")
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(asyncio.gather(*running), PATIENCE)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def sleeping(claim: WorkClaim[bytes]) -> None:
    await asyncio.sleep(PATIENCE)


async def test_a_handler_closes_its_worker(aclient: redis.asyncio.Redis, name: str) -> None:
    async def handler(claim: WorkClaim[bytes]) -> None:
        await claim.resolve()
        await worker.close()

    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    worker = queue.worker(handler, "bot", drain_timeout=PATIENCE * 2)
    await asyncio.wait_for(worker.run(), PATIENCE)
    with pytest.raises(RuntimeError, match="has run"):
        await worker.run()


async def test_a_handler_that_is_not_async(aclient: redis.asyncio.Redis, name: str) -> None:
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    told: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    worker = queue.worker(lambda claim: None, "bot")  # type: ignore[arg-type, return-value]
    worker.on("error", told.set_result)
    running = asyncio.ensure_future(worker.run())
    error = await asyncio.wait_for(told, PATIENCE)
    await worker.close()
    await running
    assert isinstance(error, TypeError) and "modq.Worker" in str(error)


async def test_cancelling_run_gives_back(aclient: Any, name: str) -> None:
    queue = Queue(aclient, name)
    await queue.submit("post:1", b"")
    began = asyncio.Event()

    async def handler(claim: WorkClaim[bytes]) -> None:
        began.set()
        await asyncio.sleep(PATIENCE * 2)

    running = asyncio.ensure_future(queue.worker(handler, "bot").run())
    await asyncio.wait_for(began.wait(), PATIENCE)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await queue.len("ready") == 1


async def test_the_users_client_is_left_alone(server: Server, name: str) -> None:
    client = redis.asyncio.Redis(port=server.port, decode_responses=True, socket_timeout=3)
    before = dict(client.connection_pool.connection_kwargs)
    queue = Queue(client, name)
    await queue.submit("post:1", b"\xff\xfe")
    async for claim in queue.work("bot"):
        assert claim.payload == b"\xff\xfe"
        await claim.resolve()
        break
    await queue.close()
    assert client.connection_pool.connection_kwargs == before
    assert await client.ping()
    await client.connection_pool.disconnect()
