"""What comes back: plain, immutable values with named fields. Times are aware datetimes in UTC, lengths timedeltas."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from ._wire import moment

State = Literal["ready", "locked", "delayed", "dead"]
Side = Literal["in", "out", "all"]
SubmitStatus = Literal["READY", "ASSIGNED", "DELAYED", "EXISTS", "BUMPED", "REPLACED", "DECIDED"]
ResolveStatus = Literal["OK", "VOTED", "SPLIT"]
OnDup = Literal["keep", "bump", "replace", "error"]
OnDecided = Literal["keep", "count", "changed", "again", "appeal"]
Algo = Literal["log", "counter", "fixed", "gcra"]
Ranking = Literal["ordinal", "standard", "dense"]
Update = Literal["sum", "best", "last"]
Ties = Literal["earliest", "latest", "member"]
Order = Literal["desc", "asc"]


class Lock(NamedTuple):
    """The eight positions of a claim, as they came; times in Unix milliseconds."""

    item: str
    raw: bytes
    token: int
    deadline_ms: int
    priority: int
    submitted_ms: int
    deliveries: int
    rev: int

    @property
    def deadline(self) -> datetime:
        return moment(self.deadline_ms)

    @property
    def submitted(self) -> datetime:
        return moment(self.submitted_ms)


class Resolved(NamedTuple):
    """What a decision did.

    ``confirmed`` is False when a reply was lost and the repeated command answered that there is no such item: then it is
    decided, most likely by this very call, or somebody cancelled it meanwhile. With ``retain`` set on the queue the server
    remembers, and every answer is sure.
    """

    status: ResolveStatus
    confirmed: bool = True
    also: int = 0
    left: int = 0
    cursor: str = "0"


class Vote(NamedTuple):
    moderator: str
    verdict: str
    at: datetime


@dataclass(frozen=True)
class Item:
    """Everything about one item. ``raw`` is the payload as bytes; ``Queue.get`` sets ``payload`` by the queue's codec."""

    item: str
    state: State
    raw: bytes
    priority: int
    boost: timedelta
    submitted: datetime
    due: datetime | None
    rev: int
    reports: int
    deliveries: int
    expiries: int
    moderator: str | None
    token: int | None
    deadline: datetime | None
    tags: list[str]
    excluded: list[str]
    quorum: tuple[int, int] = (1, 1)
    votes: tuple[Vote, ...] = ()
    contested: bool = False
    group: str | None = None
    deciders: tuple[str, ...] = ()
    payload: Any = None


class Row(NamedTuple):
    """One item of ``list``; moderator and deadline are None unless it is locked."""

    item: str
    priority: int
    submitted: datetime
    moderator: str | None
    deadline: datetime | None


class GroupRow(NamedTuple):
    item: str
    state: State
    priority: int
    submitted: datetime
    moderator: str | None


class Cancelled(NamedTuple):
    cancelled: int
    left: int
    cursor: str


class Waiter(NamedTuple):
    moderator: str
    kind: Literal["joined", "blocked"]
    since: datetime
    tags: list[str]


@dataclass(frozen=True)
class Settings:
    """How a queue is set up. What an older module does not know is None."""

    lock: timedelta
    maxexpiries: int
    maxlen: int
    capacity: int
    late: Literal["accept", "reject"]
    aging: timedelta
    events: str
    eventsmaxlen: int
    quorum: tuple[int, int] | None = None
    splittag: str | None = None
    retain: timedelta | None = None
    retainmax: int | None = None


class Bucket(NamedTuple):
    """How many ``waits`` so far were at or below ``bound``; None is no bound."""

    bound: timedelta | None
    waits: int


@dataclass(frozen=True)
class Stats:
    """How a queue is doing. ``all`` has every field as the server gave it, also those of newer modules."""

    ready: int
    locked: int
    delayed: int
    dead: int
    waiting: int
    deferred: int
    oldest_ready: timedelta
    oldest_item: timedelta
    submitted: int
    resolved: int
    cancelled: int
    released: int
    expired: int
    died: int
    wait_p50: timedelta
    wait_p95: timedelta
    wait_p99: timedelta
    handle_p50: timedelta
    handle_p95: timedelta
    handle_p99: timedelta
    paused: Literal["none", "in", "out", "all"]
    bytes: int
    by_tag: dict[str, int]
    by_priority: dict[int, int]
    votes: int
    splits: int
    voting: int
    contested: int
    decided: int
    records_evicted: int
    #: How long the item that was contested first has been so.
    oldest_contested: timedelta
    #: Entries of the event stream trimmed before a consumer group read them; None if nobody can tell.
    events_missed: int | None
    wait_sum: timedelta
    handle_sum: timedelta
    #: Bounds from 1 s to 24 h, and None for all; with the sums they begin with module 0.2 and never go down.
    wait_histogram: tuple[Bucket, ...]
    handle_histogram: tuple[Bucket, ...]
    all: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """What is remembered of a decided item."""

    item: str
    verdict: str
    decided: datetime
    expires: datetime
    token: int
    rev: int
    submitted: datetime
    reports: int
    moderators: list[str]


@dataclass(frozen=True)
class Limit:
    """``quota`` units in ``window``; ``burst`` goes with gcra only."""

    quota: int
    window: timedelta | float
    algo: Algo = "log"
    burst: int | None = None


@dataclass(frozen=True)
class LimitState:
    """One limit of a check, with ``detail=True``. ``next_after``: until ``remaining`` grows; 0 if it is unused."""

    quota: int
    window: timedelta
    remaining: int
    next_after: timedelta
    reset_after: timedelta
    violated: bool


@dataclass(frozen=True)
class Check:
    """What a limiter said. True where it is used as a condition if it let the request in.

    ``retry_after`` is None when waiting will never help (the cost is above the quota). ``reason`` is ``"allowed"``,
    ``"limited"``, ``"too_large"``, or, when the limiter itself failed and ``on_error`` decided, ``"error"``.
    """

    allowed: bool
    limit: int
    remaining: int
    retry_after: timedelta | None
    reset_after: timedelta
    granted: int
    limits: tuple[LimitState, ...] = ()
    reason: str = "allowed"
    error: BaseException | None = None

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True)
class MultiCheck:
    """The verdict on several keys at once, and each key's own in ``checks``."""

    allowed: bool
    retry_after: timedelta | None
    checks: tuple[Check, ...]

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True)
class Acquired:
    """Whether a lease was taken; ``fence`` is a fencing token, 0 when denied."""

    acquired: bool
    in_use: int
    max: int
    retry_after: timedelta | None
    fence: int

    def __bool__(self) -> bool:
        return self.acquired


class LeaseRow(NamedTuple):
    id: str
    cost: int
    expires: datetime
    fence: int


class Added(NamedTuple):
    """What an ``add`` did; rank and old_rank are None for who is not (was not) on the board."""

    changed: bool
    rank: int | None
    old_rank: int | None
    scores: tuple[int, ...]


class Standing(NamedTuple):
    rank: int
    scores: tuple[int, ...]
    achieved: datetime


class BoardRow(NamedTuple):
    rank: int
    member: str
    scores: tuple[int, ...]


class AmongRow(NamedTuple):
    rank: int
    overall: int
    member: str
    scores: tuple[int, ...]


@dataclass(frozen=True)
class BoardInfo:
    order: list[str]
    update: Update
    ties: Ties
    columns: int
    cap: int
    retry: timedelta
    members: int
    ids: int
    bytes: int
