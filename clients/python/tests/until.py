"""Waiting, in asyncio, for what is to come true."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from servers import PATIENCE

from modq.asyncio import Queue


async def until(what: Any, why: str = "it comes true") -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = what()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain until {why}")


async def drained(queue: Queue[Any]) -> None:
    async def empty() -> bool:
        return await queue.len() == 0

    await until(empty, "every item is decided")
