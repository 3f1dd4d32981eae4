"""Claims that a worker holds: settled safely, kept alive by heartbeats, told when they are lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

from redis.exceptions import ResponseError

from .. import _modq as modq
from .._crew import Events, Options, Settling, ends_the_claim
from .._wire import Command, Duration, Text, backoff, seconds
from ..errors import LockLost, ModqError, not_for_us
from ..types import Lock, Resolved
from .link import Line
from .queue import Claim, Commands

P = TypeVar("P")
T = TypeVar("T")

#: A heartbeat goes out when this share of a lock is left, and takes along those of which this other share is: so all that is
#: in hand soon has one heartbeat together.
DUE, RIPE = 0.7, 0.9
#: A lock of which less than this share seems left is extended before anybody works under it.
SURE = 0.75


class WorkClaim(Claim[P]):
    """A claim in the hands of a worker, which extends its lock until it is settled: resolved, released or moved.

    ``lost`` is set when the lock is not ours any more. Inside ``async with claim`` (a ``Worker``'s handler runs in one)
    the loss cancels what is going on, and the block ends with ``LockLost``; who leaves the block without settling gives
    the item back.
    """

    def __init__(self, queue: Commands[P], lock: Lock, moderator: Text, heart: Heart[P], line: Line) -> None:
        super().__init__(queue, lock, moderator)
        self.lost = asyncio.Event()
        #: Set when it is settled or lost: the slot may go on.
        self.over = asyncio.Event()
        self.began = time.monotonic()
        #: Until when, by our clock, the lock is ours even if nobody answers any more.
        self.safe_until = self.began + heart.lock
        self.settling = False
        self.stalled = False
        self._heart = heart
        self._line = line
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False

    def is_old(self) -> bool:
        """Whether less seems left of the lock than a new one has: it was held before, by a process that died or an answer that
        was lost. Clocks that differ make it seem so, too; then it costs an EXTEND and no more."""
        return self._deadline_ms - time.time() * 1000 < SURE * self._heart.lock * 1000

    def check(self) -> None:
        """Raises ``LockLost`` if the lock is lost."""
        if self.lost.is_set():
            raise LockLost(f"the lock on {self.item!r} was lost")

    def lose(self) -> None:
        if not self.over.is_set():
            self.lost.set()
            self.over.set()
            if self._task is not None:
                self._interrupted = True
                self._task.cancel()

    # ---- Settling

    async def resolve(
        self,
        verdict: Text | None = None,
        *,
        decision: Text | None = None,
        check_rev: bool = False,
        also: int | None = None,
        also_tags: Iterable[Text] | None = None,
        cursor: str | None = None,
    ) -> Resolved:
        """Decides the item; tries again after lost replies and through failovers (see ``Resolved.confirmed``)."""
        command = modq.resolve(
            self.queue.key,
            self.item,
            self.token,
            rev=self.rev if check_rev else None,
            verdict=verdict,
            decision=decision,
            also=also,
            also_tags=also_tags,
            cursor=cursor,
        )
        return await self._settle(command, Settling("resolve")) or Resolved("OK")

    async def release(self, *, skip: bool = False, delay: Duration | None = None) -> None:
        """Gives the item back to its place; with ``skip`` never again to this moderator id."""
        command = modq.release(self.queue.key, self.item, self.token, skip, delay)
        await self._settle(command, Settling("release"))

    async def move(self, destination: Commands[Any], *, priority: int | None = None, by: Text | None = None) -> None:
        """To another queue (escalation)."""
        command = modq.move(self.queue.key, destination.key, self.item, self.token, priority, by)
        await self._settle(command, Settling("move"))

    async def _settle(self, command: Command[T], settling: Settling) -> T | Resolved:
        if self.settling:
            raise RuntimeError("this claim is being settled already")
        self.settling = True
        try:
            await self._heart.landed(self)
            answer = await self._send(command, settling)
        except ModqError as error:
            if ends_the_claim(error):
                self.over.set()
            raise
        finally:
            self.settling = False
        self.over.set()
        return answer

    async def _send(self, command: Command[T], settling: Settling) -> T | Resolved:
        """Until somebody answers, or for as long again as a lock lasts."""
        give_up = time.monotonic() + max(self._heart.lock, 30.0)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._line.run(command)
            except Exception as error:
                done = settling.done(error)
                if done is not None:
                    return done
                if not settling.again(error) or time.monotonic() > give_up:
                    raise
            await asyncio.sleep(backoff(attempt))

    async def extend(self, lock: Duration) -> Any:
        """Makes the lock last ``lock`` from now. Shorter heartbeats begin when that comes near its end."""
        sent = time.monotonic()
        self._deadline_ms = await self._line.run(modq.extend(self.queue.key, self.item, self.token, lock))
        self.safe_until = sent + seconds(lock)
        return self.deadline

    # ---- Around the work on it

    async def __aenter__(self) -> WorkClaim[P]:
        self.check()
        self._task = asyncio.current_task()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disarm(error)
        interrupted = self._interrupted and isinstance(error, asyncio.CancelledError)
        if self.lost.is_set() and (error is None or interrupted):
            raise LockLost(f"the lock on {self.item!r} was lost") from error
        if self.over.is_set():
            return
        if isinstance(error, asyncio.CancelledError):
            self._heart.later(self.release())
        else:
            failed = error is not None
            await self.release(delay=self._heart.options.delay_after_failure(self) if failed else None)

    async def _disarm(self, error: BaseException | None) -> None:
        """Takes back the cancellation that a loss asked for, whether it arrived or is still to come."""
        task, self._task = self._task, None
        if not self._interrupted or task is None:
            return
        if not isinstance(error, asyncio.CancelledError):
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
        uncancel: Callable[[], int] | None = getattr(task, "uncancel", None)
        if uncancel is not None:
            uncancel()


def first(claims: list[WorkClaim[P]]) -> list[WorkClaim[P]]:
    """As many as one command takes, those that end first."""
    return sorted(claims, key=lambda claim: claim.safe_until)[:1000]


class Heart(Generic[P]):
    """Sends the heartbeats of all claims in hand: EXTEND, or MEXTEND for several where the server has it."""

    def __init__(self, options: Options, events: Events) -> None:
        self.options = options
        self.lock = options.lock
        self.held: set[WorkClaim[P]] = set()
        self._events = events
        self._flying: frozenset[WorkClaim[P]] = frozenset()
        self._landing = asyncio.Event()
        self._batches: bool | None = None
        self._later: set[asyncio.Future[Any]] = set()

    async def landed(self, claim: WorkClaim[P]) -> None:
        """Waits for a heartbeat of this claim that is on its way: behind a decision its answer would be NOITEM."""
        while claim in self._flying:
            self._landing.clear()  # another line's heartbeat may have landed: a set event would not wait at all
            await self._landing.wait()

    def later(self, coroutine: Any) -> None:
        """Does something in the background; ``finish`` waits for it."""
        task = asyncio.ensure_future(coroutine)
        self._later.add(task)
        task.add_done_callback(self._later_done)

    def _later_done(self, task: asyncio.Future[Any]) -> None:
        self._later.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._events.emit("error", task.exception())

    async def finish(self, timeout: float) -> None:
        if self._later:
            _, late = await asyncio.wait(self._later, timeout=timeout)
            for task in late:
                task.cancel()

    async def beat(self) -> None:
        """For as long as the worker runs."""
        while True:
            await asyncio.sleep(self.lock / 10)
            try:
                await self._round()
            except Exception as error:
                self._events.emit("error", error)

    async def _round(self) -> None:
        now = time.monotonic()
        ripe: dict[Line, list[WorkClaim[P]]] = {}
        for claim in self.held:
            left = claim.safe_until - now
            if claim.over.is_set() or claim.settling:
                continue
            if left <= 0:
                self._lose(claim)
            elif left <= self.lock * RIPE and now - claim.began < seconds(self.options.max_hold):
                ripe.setdefault(claim._line, []).append(claim)
        due = {line: claims for line, claims in ripe.items() if any(self._due(claim, now) for claim in claims)}
        if due:
            await asyncio.gather(*(self._extend(line, first(claims)) for line, claims in due.items()))

    def _due(self, claim: WorkClaim[P], now: float) -> bool:
        return claim.safe_until - now <= self.lock * DUE

    def _lose(self, claim: WorkClaim[P]) -> None:
        claim.lose()
        self._events.emit("lock_lost", claim)

    async def _extend(self, line: Line, claims: list[WorkClaim[P]]) -> None:
        self._flying |= frozenset(claims)
        sent = time.monotonic()
        try:
            answers = await self._ask(line, claims)
        finally:
            self._flying -= frozenset(claims)
            self._landing.set()
        for claim, answer in zip(claims, answers, strict=True):
            self._take(claim, answer, sent)

    def _take(self, claim: WorkClaim[P], answer: int | BaseException, sent: float) -> None:
        if isinstance(answer, int):
            claim._deadline_ms = answer
            claim.safe_until = sent + self.lock
            claim.stalled = False
        elif claim.settling or claim.over.is_set():
            return
        elif ends_the_claim(answer):
            self._lose(claim)
        else:
            if not claim.stalled:
                claim.stalled = True
                self._events.emit("stalled", claim)
            self._events.emit("error", answer)

    async def _ask(self, line: Line, claims: list[WorkClaim[P]]) -> list[int | BaseException]:
        if len(claims) > 1 and self._batches is not False:
            try:
                return await self._ask_together(line, claims)
            except Exception as error:
                if not not_for_us(error):
                    return [error] * len(claims)
                self._batches = False
        lock = self.options.lock_duration
        answers = await line.run_all([modq.extend(c.queue.key, c.item, c.token, lock) for c in claims])
        return list(answers)

    async def _ask_together(self, line: Line, claims: list[WorkClaim[P]]) -> list[int | BaseException]:
        pairs: list[tuple[Text, int]] = [(claim.item, claim.token) for claim in claims]
        answers: list[int | ResponseError] = await line.run(
            modq.mextend(claims[0].queue.key, pairs, self.options.lock_duration)
        )
        self._batches = True
        return list(answers)


__all__ = ["Heart", "WorkClaim"]
