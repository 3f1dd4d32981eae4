"""modq for asyncio: the same names as in ``modq``, over ``redis.asyncio`` clients."""

from .._crew import Options
from .held import WorkClaim
from .queue import Claim
from .worker import Handler, Queue, Worker

__all__ = ["Claim", "Handler", "Options", "Queue", "WorkClaim", "Worker"]
