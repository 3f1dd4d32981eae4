"""What takes time, for asyncio: something done again and again in the background, and a limit on how long to wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
log = logging.getLogger("modq")


class Keeper:
    """Does ``what`` every ``pause`` seconds from ``start`` to ``stop``."""

    def __init__(self, pause: float, what: Callable[[], Awaitable[Any]]) -> None:
        self._pause = pause
        self._what = what
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self._what()
            except Exception as error:
                log.warning("%s: %s", type(error).__name__, error)


async def within(limit: float, work: Awaitable[T]) -> T:
    """The outcome, or ``TimeoutError`` after ``limit`` seconds."""
    try:
        return await asyncio.wait_for(work, limit)
    except asyncio.TimeoutError:  # before Python 3.11 another class than TimeoutError
        raise TimeoutError(f"no answer within {limit:g} s") from None


async def to_the_end(work: Coroutine[Any, Any, Any], hurry: asyncio.Event) -> None:
    """Does it all, also if the task that waits for it is cancelled meanwhile, which ``hurry`` then tells; the cancellation is
    raised afterwards."""
    doing = asyncio.ensure_future(work)
    cancelled: BaseException | None = None
    while not doing.done():
        try:
            await asyncio.wait({doing})
        except asyncio.CancelledError as error:
            cancelled = error
            hurry.set()
    await doing
    if cancelled is not None:
        raise cancelled


async def done_or_told(tasks: set[Any], timeout: float, told: asyncio.Event) -> set[Any]:
    """Waits until all tasks are done, the time is over, or ``told`` is set; those that are not done."""
    if tasks:
        waits = [asyncio.ensure_future(asyncio.wait(tasks, timeout=timeout)), asyncio.ensure_future(told.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
    return {task for task in tasks if not task.done()}
