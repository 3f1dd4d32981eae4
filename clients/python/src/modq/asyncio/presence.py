"""Presence: a moderator without a connection that waits, such as a web session, stands in line and is told of items."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar

from .._keys import channel
from .._wire import Duration, Text, backoff, seconds, text
from ..errors import passes
from .link import Line
from .queue import Claim, Commands
from .timing import Keeper

P = TypeVar("P")


class Presence(Generic[P]):
    """``async with Presence(queue, "alice") as presence:`` and in it ``async for claim in presence:``.

    Inside the block the moderator is registered by JOIN, repeated every third of ``ttl``, with up to ``count`` items in
    hand. The loop gives each lock they come to hold, once; the locks are theirs to resolve, release or extend. Messages are
    heard by pub/sub (sharded in a cluster) and, should one be lost, found with the next heartbeat. At the end they leave
    the line; ``release=True`` gives back what they hold, too.
    """

    def __init__(
        self,
        queue: Commands[P],
        moderator: Text,
        *,
        ttl: Duration = 30.0,
        tags: Iterable[Text] | None = None,
        count: int | None = None,
        release: bool = False,
    ) -> None:
        self.queue = queue
        self.moderator = text(moderator)
        self.channel = channel(queue.key, moderator)
        self._ttl = ttl
        self._tags = None if tags is None else list(tags)
        self._count = count
        self._release = release
        self._keeper = Keeper(seconds(ttl) / 3, self._join)
        self._line = Line(queue.link.client, queue.key, max(seconds(ttl) / 3, 1.0), None)
        self._told: set[int] = set()
        self._look = False
        self._over = False

    async def __aenter__(self) -> Presence[P]:
        self._over = False
        await self._join()
        await self._keeper.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        await self._keeper.stop()
        try:
            await self.queue.leave(self.moderator, release=self._release)
        finally:
            await self._line.close()

    async def _join(self) -> Literal["WAITING", "ASSIGNED"]:
        answer = await self.queue.join(self.moderator, ttl=self._ttl, count=self._count, tags=self._tags)
        self._look = self._look or answer == "ASSIGNED"
        return answer

    async def __aiter__(self) -> AsyncIterator[Claim[P]]:
        failures = 0
        while not self._over:
            pubsub = None
            try:
                pubsub = await self._subscribe()
                self._look = True
                async for claim in self._claims(pubsub):
                    failures = 0
                    yield claim
            except Exception as error:
                if not passes(error):
                    raise
                failures += 1
            finally:
                await close(pubsub)
            await asyncio.sleep(backoff(max(failures, 1)))

    async def _claims(self, pubsub: Any) -> AsyncIterator[Claim[P]]:
        while not self._over:
            if self._look:
                self._look = False
                held = await self.queue.held(self.moderator)
                new = [claim for claim in held if claim.token not in self._told]
                self._told = {claim.token for claim in held}
                for claim in new:
                    yield claim
            if await heard(pubsub, 0.5):
                self._look = True

    async def _subscribe(self) -> Any:
        """None where the client library cannot: then the heartbeats alone tell."""
        pubsub = (await self._line.client()).pubsub()
        if not self.queue.link.cluster:
            await pubsub.subscribe(self.channel)
        elif hasattr(pubsub, "ssubscribe"):
            await pubsub.ssubscribe(self.channel)
        else:
            return None
        return pubsub


async def heard(pubsub: Any, timeout: float) -> bool:
    """Whether something was announced; waits that long for it."""
    if pubsub is None:
        await asyncio.sleep(timeout)
        return False
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        message = await pubsub.get_message(timeout=left)
        if message is not None and message["type"] in ("message", "smessage"):
            return True
    return False


async def close(pubsub: Any) -> None:
    if pubsub is not None:
        try:
            await (pubsub.aclose() if hasattr(pubsub, "aclose") else pubsub.close())
        except Exception:  # the connection is gone already
            return
