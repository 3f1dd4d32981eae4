"""One heartbeat for all claims in hand (MEXTEND): what each place of its answer means. A line that answers what a
test says stands in for the server; test_opinions.py has the same with a real one."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ResponseError

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
