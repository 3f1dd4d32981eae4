"""modq for asyncio: the same names as in ``modq``, over ``redis.asyncio`` clients."""

from .._crew import Options
from .board import Board
from .events import EventLog
from .held import WorkClaim
from .lease import Lease, Leases
from .limiter import Limiter, Policies, Reservation, mcheck
from .presence import Presence
from .queue import Claim
from .sharding import ShardedQueue
from .worker import Handler, Queue, Worker

__all__ = [
    "Board",
    "Claim",
    "EventLog",
    "Handler",
    "Lease",
    "Leases",
    "Limiter",
    "Options",
    "Policies",
    "Presence",
    "Queue",
    "ShardedQueue",
    "Reservation",
    "WorkClaim",
    "Worker",
    "mcheck",
]
