"""modq: moderation queues, rate limits and boards inside Redis and Valkey, from Python.

Here are the classes for ordinary code and threads; ``modq.asyncio`` has those of the same names for asyncio.
"""

from ._crew import Options
from ._sync.board import Board
from ._sync.events import EventLog
from ._sync.held import WorkClaim
from ._sync.lease import Lease, Leases
from ._sync.limiter import Limiter, Policies, Reservation, mcheck
from ._sync.presence import Presence
from ._sync.queue import Claim
from ._sync.sharding import ShardedQueue
from ._sync.worker import Handler, Queue, Worker
from ._version import MODULE_VERSIONS, __version__
from .codec import BYTES, JSON, TEXT, Codec
from .errors import (
    Changed,
    CrossSlot,
    EventsError,
    Excluded,
    Exists,
    Full,
    InvalidArgument,
    LockLost,
    ModqError,
    NoItem,
    NoPolicy,
    NoRoom,
    NotTrusted,
    OutOfMemory,
    Paused,
    PayloadError,
    Stale,
    TryAgain,
    Unblocked,
    WrongType,
)
from .events import Event, Fold
from .types import Check, Limit, Resolved

__all__ = [
    "Board",
    "Check",
    "Event",
    "EventLog",
    "Fold",
    "Lease",
    "Leases",
    "Limit",
    "Limiter",
    "NoRoom",
    "Policies",
    "Reservation",
    "Resolved",
    "mcheck",
    "BYTES",
    "JSON",
    "TEXT",
    "MODULE_VERSIONS",
    "Changed",
    "Claim",
    "Codec",
    "CrossSlot",
    "EventsError",
    "Excluded",
    "Exists",
    "Full",
    "Handler",
    "InvalidArgument",
    "LockLost",
    "ModqError",
    "NoItem",
    "NoPolicy",
    "NotTrusted",
    "Options",
    "OutOfMemory",
    "Paused",
    "PayloadError",
    "Presence",
    "Queue",
    "ShardedQueue",
    "Stale",
    "TryAgain",
    "Unblocked",
    "WorkClaim",
    "Worker",
    "WrongType",
    "__version__",
]
