"""One heartbeat for all claims in hand (MEXTEND): what each place of its answer means. A line that answers what a
test says stands in for the server; test_opinions.py has the same with a real one."""

from __future__ import annotations

import asyncio
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ResponseError
from servers import PATIENCE

from modq import Queue, WorkClaim
from modq import asyncio as aio
from modq._crew import Events, Options
from modq._sync.held import Heart
from modq.asyncio.held import Heart as AsyncHeart
from modq.types import Lock

REPLY = [
    9_000,
    ResponseError("STALE the token is old"),
    ResponseError("NOITEM no such item"),
    ResponseError("TRYAGAIN"),
]
OPTIONS = Options("bot", concurrency=4, lock_duration=60)


def lock(number: int) -> Lock:
    return Lock(f"post:{number}", b"", 100 + number, 1_000, 0, 0, 1, 1)


class Line:
    def __init__(self) -> None:
        self.sent: list[list[Any]] = []

    def run(self, command: Any) -> Any:
        self.sent.append(command.args)
        return command.parse(REPLY)


class AsyncLine(Line):
    async def run(self, command: Any) -> Any:
        return super().run(command)


def check(claims: list[Any], line: Line, told: list[Any]) -> None:
    assert line.sent == [
        ["MODQ.MEXTEND", b"q", 60_000, 4, b"post:0", 100, b"post:1", 101, b"post:2", 102, b"post:3", 103]
    ]
    assert [claim.lost.is_set() for claim in claims] == [False, True, True, False]
    assert claims[0].deadline.timestamp() == 9 and claims[0].safe_until > claims[3].safe_until
    assert told == ["post:1", "post:2"] and claims[3].stalled and not claims[0].stalled


def test_threads() -> None:
    events, told, line = Events(), [], Line()
    events.on("lock_lost", lambda claim: told.append(claim.item))
    heart: Any = Heart(OPTIONS, events)
    queue = Queue(redis.Redis(), "q")
    claims = [WorkClaim(queue, lock(i), "bot", heart, line) for i in range(4)]  # type: ignore[arg-type]
    for claim in claims:
        claim.safe_until -= 30
    heart._extend(line, claims)
    check(claims, line, told)


async def test_asyncio() -> None:
    events, told, line = Events(), [], AsyncLine()
    events.on("lock_lost", lambda claim: told.append(claim.item))
    heart: Any = AsyncHeart(OPTIONS, events)
    queue = aio.Queue(redis.asyncio.Redis(), "q")
    claims = [aio.WorkClaim(queue, lock(i), "bot", heart, line) for i in range(4)]  # type: ignore[arg-type]
    for claim in claims:
        claim.safe_until -= 30
    await heart._extend(line, claims)
    check(claims, line, told)


class Slow:
    """Of another shard: its heartbeat is answered when the test says so."""

    def __init__(self) -> None:
        self.sent, self.answered = asyncio.Event(), asyncio.Event()

    async def run_all(self, commands: list[Any]) -> list[Any]:
        self.sent.set()
        await self.answered.wait()
        return [9_000 for _ in commands]


class Counting(asyncio.Event):
    """Ends a wait that goes round and round without giving the loop a turn."""

    turns = 0

    async def wait(self) -> Any:
        self.turns += 1
        assert self.turns < 100, "the loop stands still"
        return await super().wait()


async def test_a_decision_waits_for_its_own_heartbeat_only() -> None:
    heart: Any = AsyncHeart(OPTIONS, Events())
    heart._landing = Counting()
    queue = aio.Queue(redis.asyncio.Redis(), "q")
    lines = [Slow(), Slow()]
    claims = [aio.WorkClaim(queue, lock(i), "bot", heart, line) for i, line in enumerate(lines)]  # type: ignore[arg-type]
    beats = [asyncio.ensure_future(heart._extend(line, [claim])) for line, claim in zip(lines, claims, strict=True)]
    await asyncio.gather(*(line.sent.wait() for line in lines))
    lines[0].answered.set()
    await beats[0]
    landed = asyncio.ensure_future(heart.landed(claims[1]))
    await asyncio.sleep(0)
    # Only an event loop that is free to go on can see this answer.
    asyncio.get_running_loop().call_soon(lines[1].answered.set)
    await asyncio.wait_for(landed, PATIENCE)
    await beats[1]
