"""Building commands and reading replies: pure functions, shared by the sync and the asyncio side.

Ids, tags and texts may be ``str`` or ``bytes``; replies give ``str``. Bytes that are no UTF-8 come as lone surrogates
(``surrogateescape``) and go out as the bytes they were, so any id survives the round trip.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: A length of time: a ``timedelta``, or a number of seconds.
Duration = timedelta | float
#: An id, a tag, a verdict: text, or bytes.
Text = str | bytes

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MS = timedelta(milliseconds=1)


class Command(Generic[T]):
    """One command: its words, how to read its reply, and whether sending it twice does what sending it once does."""

    __slots__ = ("again", "args", "keys", "parse")

    def __init__(
        self, args: list[Any], parse: Callable[[Any], T], *, keys: tuple[bytes, ...] = (), again: bool = True
    ) -> None:
        self.args = args
        self.parse = parse
        self.keys = keys
        self.again = again


def ms(duration: Duration) -> int:
    """Milliseconds, rounded up: a time-out never becomes 0, which often means for ever."""
    if isinstance(duration, timedelta):
        whole, rest = divmod(duration, _MS)
        return whole + bool(rest)
    return math.ceil(round(number(duration) * 1000, 6))


def seconds(duration: Duration) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(number(duration))


def number(duration: float) -> float:
    if isinstance(duration, (int, float)):
        return duration
    raise TypeError(f"a duration is a timedelta or a number of seconds, not {type(duration).__name__}")


def raw(text: Text) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode("utf-8", "surrogateescape")
    raise TypeError(f"ids, names and tags are str or bytes, not {type(text).__name__}")


def text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else str(value)


def text_or_none(value: Any) -> str | None:
    return None if value is None else text(value)


def texts(values: Iterable[Any] | None) -> list[str]:
    return [text(value) for value in values or ()]


def moment(value: Any) -> datetime:
    """Unix milliseconds as an aware datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=int(value))


def moment_or_none(value: Any) -> datetime | None:
    return None if not value else moment(value)


def span(value: Any) -> timedelta:
    return timedelta(milliseconds=int(value))


def integer(value: Any) -> int:
    return int(value)


def ok(_value: Any) -> None:
    return None


def flag(value: Any) -> bool:
    return bool(int(value))


def fields(reply: Any) -> dict[str, Any]:
    """A map, which RESP2 has as a flat list."""
    if isinstance(reply, Mapping):
        return {text(key): value for key, value in reply.items()}
    words = iter(reply)
    return {text(key): value for key, value in zip(words, words, strict=True)}


def option(args: list[Any], name: str, value: Any) -> None:
    """``NAME value``, if there is a value."""
    if value is not None:
        args += (name, value)


def duration(args: list[Any], name: str, value: Duration | None) -> None:
    if value is not None:
        args += (name, ms(value))


def word(args: list[Any], name: str, value: Text | None) -> None:
    if value is not None:
        args += (name, raw(value))


def counted(args: list[Any], name: str, values: Iterable[Text] | None) -> None:
    """``NAME n word …``. A single string is one word, not its letters."""
    if values is None:
        return
    words = [raw(values)] if isinstance(values, (str, bytes)) else [raw(value) for value in values]
    args += (name, len(words), *words)


def pieces(block: Duration, longest: float) -> Iterator[int]:
    """A wait of ``block`` (0: for ever) as BLOCKs in ms of up to ``longest`` seconds, one after the other."""
    whole = seconds(block)
    if whole < 0:
        raise ValueError("block must not be negative")
    end = time.monotonic() + whole
    while whole == 0:
        yield ms(longest)
    yield ms(min(whole, longest))
    while (rest := end - time.monotonic()) > 0:
        yield ms(min(rest, longest))


def backoff(attempt: int, first: float = 0.05, longest: float = 3.0) -> float:
    """How long to wait before attempt 1, 2, …: twice as long each time, and somewhere in the upper half of it."""
    return float(min(longest, first * 2 ** min(attempt - 1, 16)) * random.uniform(0.5, 1.0))
