"""What the workers of both sides share: their options, their names, and what a decision that got no answer means."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from inspect import iscoroutinefunction
from typing import Any, Literal, TypedDict, get_args

from ._wire import Duration, Text, ms, raw, seconds
from .errors import LOST, ModqError, NoItem, Stale, is_lost, passes
from .types import Resolved

log = logging.getLogger("modq")

#: ``error(exception)``, ``stalled(claim)``: heartbeats get no answer, ``lock_lost(claim)``, ``drained()``: there was
#: something and now there is nothing, ``closed()``.
Event = Literal["error", "stalled", "lock_lost", "drained", "closed"]

#: How long the steps of a shutdown after the drain may take, each, in seconds.
STEP = 5.0


def longer_each_time(claim: Any) -> float:
    """The delay after a handler failed: 1 s, 2 s, 4 s … by the item's deliveries, 5 minutes at most."""
    return float(min(2.0 ** min(claim.deliveries - 1, 9), 300.0))


def instance_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Options:
    """How a worker works. Durations are ``timedelta`` or seconds."""

    #: The moderator's name. Ids are made of it, one for each slot and unique to the process, unless ``unique`` is False.
    moderator: Text
    tags: Iterable[Text] | None = None
    #: How many items are in hand at once.
    concurrency: int = 1
    #: How long a lock lasts without a heartbeat; one goes out every third of it.
    lock_duration: Duration = 30.0
    #: How long heartbeats go on for one claim; after that its lock runs out.
    max_hold: Duration = 3600.0
    #: How long ``close`` waits for what is in hand, if it is not told.
    drain_timeout: Duration = 30.0
    #: What is released after a handler failed is ready again after this; a function of the claim, or a duration.
    retry_delay: Duration | Callable[[Any], Duration] = longer_each_time
    #: False: the id is the moderator's name as it is. Only with concurrency 1, and in one process at a time.
    unique: bool = True
    #: The time-out of commands that do not wait.
    reply_timeout: Duration = 5.0
    #: What tells a worker's run from all others, in the ids of its slots; made anew by each, if it is not given.
    instance: str = ""

    def __post_init__(self) -> None:
        raw(self.moderator)
        if self.concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        if not self.unique and self.concurrency != 1:
            raise ValueError("unique=False needs concurrency 1: every slot has a moderator id of its own")
        if ms(self.lock_duration) < 1:
            raise ValueError("lock_duration must be positive")

    def of_this_process(self) -> Options:
        """The same with an instance of its own: a worker that was made before a fork runs in several processes."""
        return self if self.instance else replace(self, instance=instance_name())

    def id_of(self, slot: int) -> bytes:
        name = raw(self.moderator)
        return name + f":{self.instance}:{slot}".encode() if self.unique else name

    @property
    def lock(self) -> float:
        return seconds(self.lock_duration)

    @property
    def reply(self) -> float:
        """A heartbeat that gets no answer must leave time for another."""
        return min(seconds(self.reply_timeout), max(self.lock / 4, 0.05))

    def delay_after_failure(self, claim: Any) -> Duration:
        return self.retry_delay(claim) if callable(self.retry_delay) else self.retry_delay


class WorkOptions(TypedDict, total=False):
    """The keywords of ``Worker`` and ``Queue.work``; what they mean and their defaults: ``Options``."""

    tags: Iterable[Text] | None
    concurrency: int
    lock_duration: Duration
    max_hold: Duration
    drain_timeout: Duration
    retry_delay: Duration | Callable[[Any], Duration]
    unique: bool
    reply_timeout: Duration


def check_handler(handler: Any, *, threads: bool) -> None:
    if not callable(handler):
        raise TypeError(f"a handler is a function of a claim, not {handler!r}")
    if threads and (iscoroutinefunction(handler) or iscoroutinefunction(getattr(handler, "__call__", None))):  # noqa: B004
        raise TypeError("an async handler goes with modq.asyncio.Worker: threads would not await it")


class Settling:
    """A decision on its way: tells what an error in its place means, given what happened before."""

    def __init__(self, kind: Literal["resolve", "release", "move"]) -> None:
        self.kind = kind
        #: Whether an earlier attempt may have been carried out, its reply lost.
        self.unsure = False

    def done(self, error: Exception) -> Resolved | None:
        """What it comes to, if ``error`` says that an earlier attempt did it."""
        if not self.unsure:
            return None
        if isinstance(error, NoItem) or (self.kind == "release" and isinstance(error, Stale)):
            return Resolved("OK", confirmed=False)
        return None

    def again(self, error: Exception) -> bool:
        """Whether to send it once more."""
        self.unsure = self.unsure or is_lost(error)
        return passes(error)


def ends_the_claim(error: BaseException) -> bool:
    """Whether the lock is gone with this answer to a decision: STALE and NOITEM concern the one claim, nothing else."""
    return isinstance(error, (Stale, NoItem))


def describe(error: BaseException) -> str:
    kind = "lost" if isinstance(error, LOST) else getattr(error, "code", type(error).__name__)
    return f"{kind}: {error}" if isinstance(error, ModqError) else f"{type(error).__name__}: {error}"


class Events:
    """Listeners by event. One that fails is logged and harms nobody."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[..., Any]]] = {}

    def on(self, event: Event, listener: Callable[..., Any]) -> None:
        if event not in get_args(Event):
            raise ValueError(f"{event!r} is no event of a worker: {', '.join(get_args(Event))}")
        if iscoroutinefunction(listener):
            raise TypeError("a listener is an ordinary function: nobody would await it")
        self._listeners.setdefault(event, []).append(listener)

    def emit(self, event: Event, *args: Any) -> None:
        if event == "error":
            log.warning("%s", describe(args[0]))
        elif event in ("stalled", "lock_lost"):
            log.warning("%s: %r", event, args[0])
        for listener in self._listeners.get(event, ()):
            try:
                listener(*args)
            except Exception:
                log.exception("a listener of %r failed", event)
