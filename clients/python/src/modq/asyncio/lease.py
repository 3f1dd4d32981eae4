"""Concurrency limits: at most so many at once, by leases that end by themselves when their holder dies."""

from __future__ import annotations

import asyncio
import secrets
import time
from types import TracebackType

from .. import _ratelimit as ratelimit
from .._wire import Duration, Text, raw, seconds, text
from ..errors import NoRoom, passes
from ..types import Acquired, LeaseRow
from .link import Client, Link
from .timing import Keeper


class Leases:
    """At most ``max`` units of something in use at once: one key."""

    def __init__(self, client: Client, name: Text, *, max: int) -> None:
        self.key = raw(name)
        self.max = max
        self.link = Link(client)

    async def close(self) -> None:
        """Closes the connections this object made, never yours."""
        await self.link.close()

    async def acquire(self, id: Text, *, ttl: Duration, cost: int = 1) -> Acquired:
        """RATELIMIT.ACQUIRE: true if there was room. The same id renews, with the same fence."""
        return await self.link.run(ratelimit.acquire(self.key, self.max, id, ttl, cost))

    async def release(self, id: Text) -> bool:
        """RATELIMIT.RELEASE: whether there was such a lease."""
        return await self.link.run(ratelimit.release(self.key, id))

    async def list(self) -> List[LeaseRow]:
        """RATELIMIT.LEASES: the live ones, the earliest to expire first."""
        return await self.link.run(ratelimit.leases(self.key))

    async def page(self, *, cursor: str = "0", count: int | None = None) -> tuple[str, List[LeaseRow]]:
        """RATELIMIT.LEASES by pages: the next cursor, "0" at the end."""
        return await self.link.run(ratelimit.leases_page(self.key, cursor, count))

    def hold(self, *, ttl: Duration = 30.0, cost: int = 1, id: Text | None = None, timeout: Duration = 0.0) -> Lease:
        """A lease for a ``with`` block, which renews it every third of ``ttl``. If there is no room within ``timeout``, the
        block is not entered: ``NoRoom``."""
        return Lease(self, secrets.token_urlsafe(12) if id is None else id, ttl, cost, timeout)


class Lease:
    """One lease around a block of work. ``fence`` is a fencing token: what the lease protects refuses smaller ones than it
    has seen. ``lost`` turns true if it ended under the work, because no renewal got through."""

    def __init__(self, leases: Leases, id: Text, ttl: Duration, cost: int, timeout: Duration) -> None:
        self._leases = leases
        self.id = text(id)
        self.ttl = ttl
        self.cost = cost
        self.fence = 0
        self.lost = False
        self._timeout = seconds(timeout)
        self._safe_until = 0.0
        self._keeper = Keeper(seconds(ttl) / 3, self._renew)

    async def __aenter__(self) -> Lease:
        end = time.monotonic() + self._timeout
        while True:
            sent = time.monotonic()
            answer = await self._leases.acquire(self.id, ttl=self.ttl, cost=self.cost)
            if answer.acquired:
                break
            if answer.retry_after is None or time.monotonic() >= end:
                raise NoRoom(f"{answer.in_use} of {answer.max} are in use")
            # Somebody may release before the earliest expiry, and nobody tells: ask now and then.
            left = end - time.monotonic()
            await asyncio.sleep(max(0.0, min(answer.retry_after.total_seconds(), 0.25, left)))
        self.fence = answer.fence
        self._safe_until = sent + seconds(self.ttl)
        await self._keeper.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._keeper.stop()
        await self._leases.release(self.id)

    async def _renew(self) -> None:
        sent = time.monotonic()
        try:
            answer = await self._leases.acquire(self.id, ttl=self.ttl, cost=self.cost)
        except Exception as failed:
            if not passes(failed) or time.monotonic() > self._safe_until:
                self.lost = True
            return
        if answer.acquired and answer.fence == self.fence:
            self._safe_until = sent + seconds(self.ttl)
        else:
            self.lost = True


List = list  # `list` is a method above
