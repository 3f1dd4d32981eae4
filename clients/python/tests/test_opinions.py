"""Workers where several must agree: who is given what, what a lost reply to a vote comes to, one heartbeat for all."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import history
import pytest
import redis
import redis.asyncio
from proxy import Proxy
from servers import Server, wait_until
from sides import Side
from test_worker_sync import running
from until import drained, until

from modq import Queue, Resolved, WorkClaim
from modq import asyncio as aio

#: What each of them says of item number i: two agree on two of three, on every third nobody agrees.
VERDICTS: dict[str, Callable[[int], str]] = {
    "ann": lambda i: "keep",
    "bob": lambda i: "remove" if i % 3 == 0 else "keep",
    "cy": lambda i: "escalate" if i % 3 == 0 else "remove",
}


def number(item: str) -> int:
    return int(item.split(":")[1])


def fill(client: Any, queue: str, items: int) -> str:
    stream = history.switch_on(client, queue)
    client.execute_command("MODQ.CONFIGURE", queue, "QUORUM", 2, 3, "SPLITTAG", "senior")
    for i in range(items):
        client.execute_command("MODQ.SUBMIT", queue, f"post:{i}", b"text")
    return stream


def check(client: Any, stream: str, items: int) -> None:
    """Everything is decided once, by as many different people as it takes, and split where all differ."""
    told = history.each_decided_once(client, stream, items)
    for i in range(items):
        voters = told.voters[f"post:{i}"]
        assert len(voters) == 3 if i % 3 == 0 else len(voters) in (1, 2), (i, voters)
    ends = [entry for _, entry in client.xrange(stream) if entry[b"ev"] == b"resolve"]
    assert {entry[b"item"] for entry in ends if entry[b"moderator"] == b"dan"} == {
        f"post:{i}".encode() for i in range(0, items, 3)
    }


def test_loops_of_named_people(side: Side, server: Server, name: str) -> None:
    queue = side.make("Queue", side.client(server.port), name)
    queue.configure(quorum=(2, 3), splittag="senior")
    for item in ("post:1", "post:2"):
        queue.submit(item, b"")
    with ExitStack() as stack:
        people = {
            who: stack.enter_context(closing(queue.work(who, unique=False, tags=tags)))
            for who, tags in (("ann", None), ("bob", None), ("cy", None), ("dan", ["senior"]))
        }
        first = next(people["ann"])
        assert first.item == "post:1" and first.moderator == "ann"
        assert first.resolve("keep") == Resolved("VOTED")
        second = next(people["ann"])
        assert second.item == "post:2", "what she voted on is for others"
        assert next(people["bob"]).resolve("remove") == Resolved("VOTED")
        assert next(people["cy"]).resolve("escalate") == Resolved("SPLIT")
        last = next(people["dan"])
        assert last.item == "post:1" and last.resolve("remove") == Resolved("OK")
        second.resolve("keep")
        agreeing = next(people["bob"])
        assert agreeing.item == "post:2" and agreeing.resolve("keep") == Resolved("OK")
    assert queue.len() == 0 and queue.stats().splits == 1


async def test_workers_of_asyncio(server: Server, name: str) -> None:
    with server.client() as admin:
        stream = fill(admin, name, 30)
        client = redis.asyncio.Redis(port=server.port)
        queue = aio.Queue(client, name)

        async def say(claim: aio.WorkClaim[bytes]) -> None:
            await claim.resolve(VERDICTS[claim.moderator](number(claim.item)))

        async def final(claim: aio.WorkClaim[bytes]) -> None:
            assert (await claim.resolve("remove")).status == "OK"

        workers = [queue.worker(say, who, unique=False) for who in VERDICTS]
        # Who offers the tag is given what has no tag too: so dan begins when only contested items are left.
        runs = [asyncio.ensure_future(worker.run()) for worker in workers]
        senior = queue.worker(final, "dan", unique=False, tags=["senior"])

        async def all_but_splits() -> bool:
            return (await queue.stats()).contested == await queue.len() == 10

        await until(all_but_splits)
        runs.append(asyncio.ensure_future(senior.run()))
        await drained(queue)
        for worker in (*workers, senior):
            await worker.close()
        await asyncio.gather(*runs)
        await client.connection_pool.disconnect()
        check(admin, stream, 30)


def test_workers_of_threads(server: Server, name: str) -> None:
    with server.client() as client, ExitStack() as stack:
        stream = fill(client, name, 30)
        queue = Queue(client, name)

        def say(claim: WorkClaim[bytes]) -> None:
            claim.resolve(VERDICTS[claim.moderator](number(claim.item)))

        def final(claim: WorkClaim[bytes]) -> None:
            assert claim.resolve("remove").status == "OK"

        for who in VERDICTS:
            stack.enter_context(running(queue.worker(say, who, unique=False)))
        wait_until(lambda: queue.stats().contested == queue.len() == 10)
        stack.enter_context(running(queue.worker(final, "dan", unique=False, tags=["senior"])))
        wait_until(lambda: queue.len() == 0)
        check(client, stream, 30)


def test_slots_of_one_worker_are_people_too(one_server: Server, name: str) -> None:
    """Why named people have ``unique=False``: with ids of its own, one program agrees with itself."""
    with one_server.client() as client:
        queue = Queue(client, name)
        queue.submit("post:1", b"", quorum=(2, 2))
        with running(queue.worker(lambda claim: claim.resolve("keep"), "bot", concurrency=2)):
            wait_until(lambda: queue.len() == 0)
        queue.submit("post:2", b"", quorum=(2, 2))
        with running(queue.worker(lambda claim: claim.resolve("keep"), "bot", unique=False)):
            wait_until(lambda: queue.stats().voting == 1)
            assert queue.why("post:2", "bot") == ["voted"]


@pytest.mark.parametrize("lost", [1, 3])
def test_a_vote_whose_reply_is_lost(
    side: Side, one_server: Server, name: str, proxied: Callable[[int], Proxy], lost: int
) -> None:
    """It stands, and the repeated one is answered as it was: there is nothing unsure about it."""
    proxy = proxied(one_server.port)
    queue = side.make("Queue", side.client(proxy.port), name)
    queue.configure(quorum=(2, 2))
    queue.submit("post:1", b"")
    with closing(queue.work("ann", unique=False)) as claims:
        claim = next(claims)
        proxy.drop_replies("MODQ.RESOLVE", lost)
        assert claim.resolve("keep") == Resolved("VOTED")
    assert proxy.dropped == lost
    assert [one.verdict for one in queue.get("post:1").votes] == ["keep"]


async def test_one_heartbeat_for_all_of_asyncio(own: Any, name: str) -> None:
    server = own("redis-8.2")
    client = redis.asyncio.Redis(port=server.port)
    queue = aio.Queue(client, name)
    await queue.submit_many([(f"post:{i}", b"") for i in range(4)])
    lost: list[str] = []
    began: list[str] = []
    go = asyncio.Event()

    async def slow(claim: aio.WorkClaim[bytes]) -> None:
        began.append(claim.item)
        await go.wait()
        await claim.resolve()

    worker = queue.worker(slow, "bot", concurrency=4, lock_duration=5)
    worker.on("lock_lost", lambda claim: lost.append(claim.item))
    running_ = asyncio.ensure_future(worker.run())
    await until(lambda: len(began) == 4)
    with server.client() as admin:
        await until(lambda: beats(admin)["modq.mextend"] >= 1)
        # One of them goes: its place in the next answer says so, and the others go on.
        assert await queue.cancel("post:2")
        await until(lambda: lost == ["post:2"])
        before = beats(admin)["modq.mextend"]
        await until(lambda: beats(admin)["modq.mextend"] >= before + 1)
        go.set()
        await drained(queue)
        await worker.close()
        await running_
        assert (await queue.stats()).expired == 0 and (await queue.stats()).resolved == 3
    await client.connection_pool.disconnect()


def test_one_heartbeat_for_all_of_threads(own: Any, name: str) -> None:
    server = own("redis-8.2")
    with server.client() as client:
        queue = Queue(client, name)
        queue.submit_many([(f"post:{i}", b"") for i in range(4)])
        go, lost = threading.Event(), []

        def slow(claim: WorkClaim[bytes]) -> None:
            while not (go.wait(0.01) or claim.lost.is_set()):
                pass
            claim.check()
            claim.resolve()

        worker = queue.worker(slow, "bot", concurrency=4, lock_duration=5)
        worker.on("lock_lost", lambda claim: lost.append(claim.item))
        with running(worker):
            wait_until(lambda: queue.len("locked") == 4)
            wait_until(lambda: beats(client)["modq.mextend"] >= 1)
            assert queue.cancel("post:2")
            wait_until(lambda: lost == ["post:2"])
            before = beats(client)["modq.mextend"]
            wait_until(lambda: beats(client)["modq.mextend"] >= before + 1)
            go.set()
            wait_until(lambda: queue.len() == 0)
        assert queue.stats().expired == 0 and queue.stats().resolved == 3


def beats(client: Any) -> Counter[str]:
    """How often each command was called."""
    stats = client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()})
