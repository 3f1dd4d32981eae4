"""The module's errors as exceptions, one class for each code, and which failures pass by themselves."""

from __future__ import annotations

import re

from redis import exceptions as redis_errors


class ModqError(redis_errors.ResponseError):
    """What the module answered instead of doing it; nothing was changed. It is a ``redis.ResponseError`` too."""

    #: The first word of the answer.
    code = "ERR"


class Stale(ModqError):
    """The token is not that of a live lock on the item; from ``assign``: the item is locked."""

    code = "STALE"


class NoItem(ModqError):
    """No such item in the queue."""

    code = "NOITEM"


class Changed(ModqError):
    """The item is no longer at the revision given; the lock is kept."""

    code = "CHANGED"


class Exists(ModqError):
    """The item is in the queue already; or the board, or the destination of ``close_season``, exists."""

    code = "EXISTS"


class Excluded(ModqError):
    """The moderator is excluded from the item."""

    code = "EXCLUDED"


class Full(ModqError):
    """The queue holds as many items as its ``maxlen`` allows."""

    code = "FULL"


class Paused(ModqError):
    """The queue takes no new items for now."""

    code = "PAUSED"


class EventsError(ModqError):
    """The key of the queue's event stream cannot be written: it holds another type, or its last possible id."""

    code = "EVENTS"


class TryAgain(ModqError, redis_errors.TryAgainError):
    """In a cluster: the event stream, or a key, is not here at present."""

    code = "TRYAGAIN"

    def __init__(self, *args: object) -> None:
        redis_errors.ResponseError.__init__(self, *args)


class NoPolicy(ModqError):
    """No rate limit policy of this name on this server."""

    code = "NOPOLICY"


class OutOfMemory(ModqError, redis_errors.OutOfMemoryError):
    """The server is at its ``maxmemory`` and the command would add."""

    code = "OOM"


class WrongType(ModqError):
    """The key holds something else."""

    code = "WRONGTYPE"


class CrossSlot(ModqError):
    """In a cluster: the keys of one command are not in one slot."""

    code = "CROSSSLOT"


class Unblocked(ModqError):
    """A wait was ended by the server: it became a replica, or somebody sent CLIENT UNBLOCK. Ask again."""

    code = "UNBLOCKED"


class InvalidArgument(ModqError):
    """``ERR``: an argument, named by the message, is wrong; or the server does not know the command."""


class PayloadError(ValueError):
    """A payload that the queue's codec cannot read. ``claim.raw`` has its bytes."""


_BY_CODE: dict[str, type[ModqError]] = {
    error.code: error
    for error in (
        Stale,
        NoItem,
        Changed,
        Exists,
        Excluded,
        Full,
        Paused,
        EventsError,
        TryAgain,
        NoPolicy,
        OutOfMemory,
        WrongType,
        CrossSlot,
        Unblocked,
        InvalidArgument,
    )
}


class NotTrusted(redis_errors.ConnectionError):
    """TLS: the server's certificate is not one that the client trusts, or the client's own is not one that the server
    does; the message says which. Nothing was sent. Trying again does not help: a worker ends with it."""


#: What OpenSSL calls failures that are about certificates: its own verdict, and alerts of the other side.
_CERTIFICATES = re.compile(r"\[SSL: (\w*(?:CERTIFICATE|UNKNOWN_CA)\w*)\][^(\n]*")

#: The connection broke or nobody answered in time: the command may have been carried out or not.
LOST = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)

_PASSING = (
    redis_errors.ReadOnlyError,
    redis_errors.AskError,
    redis_errors.ClusterDownError,
    redis_errors.ClusterError,
    redis_errors.RedisClusterException,
)
_PASSING_CODES = ("TRYAGAIN", "UNBLOCKED", "OOM")
_PASSING_WORDS = ("READONLY", "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "NOREPLICAS", "BUSY", "LOADING", "MOVED", "ASK")

#: Codes of the servers that are no exceptions of redis-py. An ``ERR``, which redis-py cuts off, may begin with a word in
#: capitals too: the option that is wrong.
_SERVER_CODES = frozenset((
    "BUSY", "BUSYGROUP", "BUSYKEY", "EXECABORT", "INPROG", "IOERR", "LOADING", "MASTERDOWN", "MISCONF", "NOGOODSLAVE",
    "NOGROUP", "NOMASTERLINK", "NOPROTO", "NOREPLICAS", "NOSCRIPT", "NOTBUSY", "NOTREADY", "READONLY", "UNKILLABLE",
    "CLUSTERDOWN", "MOVED", "ASK", "NOAUTH", "NOPERM", "WRONGPASS", "DENIED",
))  # fmt: skip


_NOT_LOADED = tuple(f"unknown command '{name}." for name in ("MODQ", "RATELIMIT", "RANK"))


def of(error: redis_errors.ResponseError) -> redis_errors.ResponseError:
    """The exception that says what the module meant; errors that are not the module's stay as they are."""
    if isinstance(error, ModqError):
        return error
    message = str(error)
    word, _, rest = message.partition(" ")
    if isinstance(error, redis_errors.OutOfMemoryError):
        return OutOfMemory(message)
    if isinstance(error, redis_errors.TryAgainError):
        return TryAgain(message)
    if isinstance(error, redis_errors.ClusterCrossSlotError):
        return CrossSlot(message)
    if type(error) is not redis_errors.ResponseError:
        return error
    if word in _BY_CODE:
        return _BY_CODE[word](rest or word)
    if word in _SERVER_CODES:
        return error
    if message.startswith(_NOT_LOADED):
        message = f"{message.rstrip()} (is the module loaded on this server, and new enough?)"
    return InvalidArgument(message)


def of_any(error: Exception) -> Exception:
    """The same for whatever came in the place of an answer."""
    return of(error) if isinstance(error, redis_errors.ResponseError) else not_trusted(error) or error


def not_trusted(error: BaseException) -> NotTrusted | None:
    """What it is if a certificate is the reason for this failure of a connection. redis-py says that in words of its own,
    which may leave the reason out; its Sentinel has it as text only."""
    if isinstance(error, NotTrusted):
        return error
    link: BaseException | None = error if isinstance(error, LOST) else None
    while link is not None:
        found = _CERTIFICATES.search(str(link))
        if found is not None:
            made = NotTrusted(found[0].strip())
            made.__cause__ = error
            return made
        link = link.__cause__ or link.__context__
    return None


def is_lost(error: BaseException) -> bool:
    """Whether nobody knows if the command was carried out, or the server could not take it for now."""
    return isinstance(error, LOST) and not isinstance(
        error, (redis_errors.AuthenticationError, redis_errors.AuthorizationError)
    )


def passes(error: BaseException) -> bool:
    """Whether the same command may well succeed a little later: after a reconnection, a failover, a freed byte."""
    if is_lost(error):
        return True
    if isinstance(error, ModqError):
        return error.code in _PASSING_CODES
    if isinstance(error, _PASSING):
        return True
    return isinstance(error, redis_errors.ResponseError) and str(error).startswith(_PASSING_WORDS)


def not_for_us(error: BaseException) -> bool:
    """Whether the server does not know the command (an older module), or this user may not send it (older ACL rules)."""
    if isinstance(error, redis_errors.NoPermissionError):
        return True
    return isinstance(error, InvalidArgument) and str(error).lower().startswith("unknown command")


class NoRoom(Exception):
    """All leases are taken, and waiting for one was not wanted or took too long."""


class LockLost(Exception):
    """The lock on the item a handler works on is not ours any more: stop. Somebody else may have the item already."""
