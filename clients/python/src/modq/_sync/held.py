"""Claims that a worker of threads holds: settled safely, kept alive by heartbeats, told when they are lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

from redis.exceptions import ResponseError

from .. import _modq as modq
from .._crew import STEP, Events, Options, Settling, ends_the_claim
from .._wire import Command, Duration, Text, backoff, seconds
from ..errors import LockLost, ModqError, not_for_us
from ..types import Lock, Resolved
from .link import Line
from .queue import Claim, Commands
from .timing import each_in_a_thread

P = TypeVar("P")
T = TypeVar("T")

#: A heartbeat goes out when this share of a lock is left, and takes along those of which this other share is: so all that is
#: in hand soon has one heartbeat together.
DUE, RIPE = 0.7, 0.9
#: A lock of which less than this share seems left is extended before anybody works under it.
SURE = 0.75


class WorkClaim(Claim[P]):
    """A claim in the hands of a worker, which extends its lock until it is settled: resolved, released or moved.

    ``lost`` is set when the lock is not ours any more, or the worker wants an end: look at it, or call ``check()``, between
    the steps of long work. Who leaves ``with claim:`` without settling gives the item back.
    """

    def __init__(self, queue: Commands[P], lock: Lock, moderator: Text, heart: Heart[P], line: Line) -> None:
        super().__init__(queue, lock, moderator)
        self.lost = threading.Event()
        #: Whether it is settled or the lock is gone.
        self.over = False
        self.began = time.monotonic()
        #: Until when, by our clock, the lock is ours even if nobody answers any more.
        self.safe_until = self.began + heart.lock
        self.settling = False
        self.stalled = False
        self._mutex = threading.Lock()
        self._heart = heart
        self._line = line

    def lose(self) -> None:
        self.over = True
        self.lost.set()

    def is_old(self) -> bool:
        """Whether less seems left of the lock than a new one has: it was held before, by a process that died or an answer that
        was lost. Clocks that differ make it seem so, too; then it costs an EXTEND and no more."""
        return self._deadline_ms - time.time() * 1000 < SURE * self._heart.lock * 1000

    def check(self) -> None:
        """Raises ``LockLost`` if the lock is lost."""
        if self.lost.is_set():
            raise LockLost(f"the lock on {self.item!r} was lost")

    # ---- Settling

    def resolve(
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
        return self._settle(command, Settling("resolve")) or Resolved("OK")

    def release(self, *, skip: bool = False, delay: Duration | None = None) -> None:
        """Gives the item back to its place; with ``skip`` never again to this moderator id."""
        command = modq.release(self.queue.key, self.item, self.token, skip, delay)
        self._settle(command, Settling("release"))

    def move(self, destination: Commands[Any], *, priority: int | None = None, by: Text | None = None) -> None:
        """To another queue (escalation)."""
        command = modq.move(self.queue.key, destination.key, self.item, self.token, priority, by)
        self._settle(command, Settling("move"))

    def _settle(self, command: Command[T], settling: Settling) -> T | Resolved:
        with self._mutex:
            self.settling = True
            try:
                self._heart.landed(self)
                answer = self._send(command, settling)
            except ModqError as error:
                self.over = self.over or ends_the_claim(error)
                raise
            finally:
                self.settling = False
            self.over = True
            return answer

    def _send(self, command: Command[T], settling: Settling) -> T | Resolved:
        """Until somebody answers, or for as long again as a lock lasts; when the worker ends, for some seconds."""
        began = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._line.run(command)
            except Exception as error:
                done = settling.done(error)
                if done is not None:
                    return done
                patience = STEP / 2 if self._heart.ending.is_set() else max(self._heart.lock, 30.0)
                if not settling.again(error) or time.monotonic() > began + patience:
                    raise
            time.sleep(backoff(attempt))

    def extend(self, lock: Duration) -> Any:
        """Makes the lock last ``lock`` from now. Shorter heartbeats begin when that comes near its end."""
        sent = time.monotonic()
        self._deadline_ms = self._line.run(modq.extend(self.queue.key, self.item, self.token, lock))
        self.safe_until = sent + seconds(lock)
        return self.deadline

    # ---- Around the work on it

    def __enter__(self) -> WorkClaim[P]:
        self.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.over:
            failed = isinstance(error, Exception) and not isinstance(error, LockLost)
            self.release(delay=self._heart.options.delay_after_failure(self) if failed else None)
        elif error is None:
            self.check()


def first(claims: list[WorkClaim[P]]) -> list[WorkClaim[P]]:
    """As many as one command takes, those that end first."""
    return sorted(claims, key=lambda claim: claim.safe_until)[:1000]


class Heart(Generic[P]):
    """A thread that sends the heartbeats of all claims in hand: EXTEND, or MEXTEND where the server has it."""

    def __init__(self, options: Options, events: Events) -> None:
        self.options = options
        self.lock = options.lock
        self.events = events
        #: Set when handlers are no longer waited for.
        self.ending = threading.Event()
        self._held: set[WorkClaim[P]] = set()
        self._flying: frozenset[WorkClaim[P]] = frozenset()
        self._change = threading.Condition()
        self._batches: bool | None = None
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._beat, name="modq-heart", daemon=True)

    def begin(self) -> None:
        self.thread.start()

    def stop(self, timeout: float) -> None:
        self._stop.set()
        if self.thread.is_alive():
            self.thread.join(timeout)

    def hold(self, claim: WorkClaim[P]) -> None:
        with self._change:
            self._held.add(claim)

    def let_go(self, claim: WorkClaim[P]) -> None:
        with self._change:
            self._held.discard(claim)

    def held(self) -> list[WorkClaim[P]]:
        with self._change:
            return [claim for claim in self._held if not claim.over]

    def landed(self, claim: WorkClaim[P]) -> None:
        """Waits for a heartbeat of this claim that is on its way: behind a decision its answer would be NOITEM."""
        if claim in self._flying:
            with self._change:
                self._change.wait_for(lambda: claim not in self._flying)

    def _beat(self) -> None:
        while not self._stop.wait(self.lock / 10):
            try:
                self._round()
            except Exception as error:
                self.events.emit("error", error)

    def _round(self) -> None:
        now = time.monotonic()
        ripe: dict[Line, list[WorkClaim[P]]] = {}
        for claim in self.held():
            left = claim.safe_until - now
            if claim.settling:
                continue
            if left <= 0:
                self._lose(claim)
            elif left <= self.lock * RIPE and now - claim.began < seconds(self.options.max_hold):
                ripe.setdefault(claim._line, []).append(claim)
        due = [(line, claims) for line, claims in ripe.items() if any(self._due(claim, now) for claim in claims)]
        if len(due) == 1:
            self._extend(due[0][0], first(due[0][1]))
        elif due:
            # Shards of several nodes: one that does not answer must not cost the others their locks.
            each_in_a_thread([partial(self._extend, line, first(claims)) for line, claims in due])

    def _due(self, claim: WorkClaim[P], now: float) -> bool:
        return claim.safe_until - now <= self.lock * DUE

    def _lose(self, claim: WorkClaim[P]) -> None:
        claim.lose()
        self.events.emit("lock_lost", claim)

    def _extend(self, line: Line, claims: list[WorkClaim[P]]) -> None:
        with self._change:
            claims = [claim for claim in claims if not claim.settling and not claim.over]
            self._flying |= frozenset(claims)
        sent = time.monotonic()
        try:
            answers = self._ask(line, claims)
        finally:
            with self._change:
                self._flying -= frozenset(claims)
                self._change.notify_all()
        for claim, answer in zip(claims, answers, strict=True):
            self._take(claim, answer, sent)

    def _take(self, claim: WorkClaim[P], answer: int | BaseException, sent: float) -> None:
        if isinstance(answer, int):
            claim._deadline_ms = answer
            claim.safe_until = sent + self.lock
            claim.stalled = False
        elif claim.settling or claim.over:
            return
        elif ends_the_claim(answer):
            self._lose(claim)
        else:
            if not claim.stalled:
                claim.stalled = True
                self.events.emit("stalled", claim)
            self.events.emit("error", answer)

    def _ask(self, line: Line, claims: list[WorkClaim[P]]) -> list[int | BaseException]:
        if len(claims) > 1 and self._batches is not False:
            try:
                return self._ask_together(line, claims)
            except Exception as error:
                if not not_for_us(error):
                    return [error] * len(claims)
                self._batches = False
        lock = self.options.lock_duration
        answers = line.run_all([modq.extend(c.queue.key, c.item, c.token, lock) for c in claims])
        return list(answers)

    def _ask_together(self, line: Line, claims: list[WorkClaim[P]]) -> list[int | BaseException]:
        pairs: list[tuple[Text, int]] = [(claim.item, claim.token) for claim in claims]
        answers: list[int | ResponseError] = line.run(
            modq.mextend(claims[0].queue.key, pairs, self.options.lock_duration)
        )
        self._batches = True
        return list(answers)


__all__ = ["Heart", "WorkClaim"]
