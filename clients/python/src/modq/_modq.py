"""The commands of moderation queues: what is sent, in the words of the protocol. No connection here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

from redis.exceptions import ResponseError

from . import _replies as replies
from ._wire import Command, Duration, Text, counted, duration, flag, integer, ms, ok, option, raw, text, texts, word
from .types import (
    Cancelled,
    GroupRow,
    Item,
    Lock,
    OnDecided,
    OnDup,
    Record,
    Resolved,
    Row,
    Settings,
    Stats,
    SubmitStatus,
    Waiter,
)

Key = bytes
Words = Iterable[Text]


def _quorum(args: list[Any], quorum: tuple[int, int] | None) -> None:
    if quorum is not None:
        args += ("QUORUM", *quorum)


class SubmitOptions(TypedDict, total=False):
    """The keywords of ``Queue.submit``."""

    priority: int | None
    boost: Duration | None
    delay: Duration | None
    tags: Words | None
    exclude: Words | None
    ondup: OnDup | None
    step: int | None
    quorum: tuple[int, int] | None
    group: Text | None
    ondecided: OnDecided | None


def submit_options(
    *,
    priority: int | None = None,
    boost: Duration | None = None,
    delay: Duration | None = None,
    tags: Words | None = None,
    exclude: Words | None = None,
    ondup: str | None = None,
    step: int | None = None,
    quorum: tuple[int, int] | None = None,
    group: Text | None = None,
    ondecided: str | None = None,
) -> list[Any]:
    args: list[Any] = []
    option(args, "PRIORITY", priority)
    duration(args, "BOOST", boost)
    duration(args, "DELAY", delay)
    counted(args, "TAGS", tags)
    counted(args, "EXCLUDE", exclude)
    option(args, "ONDUP", ondup and ondup.upper())
    option(args, "STEP", step)
    _quorum(args, quorum)
    word(args, "GROUP", group)
    option(args, "ONDECIDED", ondecided and ondecided.upper())
    return args


def _twice_is_once(options: list[Any]) -> bool:
    return not {"BUMP", "ERROR", "COUNT", "AGAIN", "APPEAL"} & {one for one in options if isinstance(one, str)}


def submit(key: Key, item: Text, payload: bytes, options: list[Any]) -> Command[SubmitStatus]:
    args = ["MODQ.SUBMIT", key, raw(item), payload, *options]
    return Command(args, replies.submitted, keys=(key,), again=_twice_is_once(options))


def msubmit(
    key: Key, pairs: Sequence[tuple[Text, bytes]], options: list[Any]
) -> Command[list[SubmitStatus | ResponseError]]:
    flat = [one for item, payload in pairs for one in (raw(item), payload)]
    args = ["MODQ.MSUBMIT", key, len(pairs), *flat, *options]
    return Command(args, replies.each(replies.submitted), keys=(key,), again=_twice_is_once(options))


def cancel(key: Key, item: Text, rev: int | None, reason: Text | None, by: Text | None) -> Command[bool]:
    args: list[Any] = ["MODQ.CANCEL", key, raw(item)]
    option(args, "REV", rev)
    word(args, "REASON", reason)
    word(args, "BY", by)
    return Command(args, flag, keys=(key,), again=False)


def update(
    key: Key,
    item: Text,
    *,
    rev: int | None,
    priority: int | None,
    boost: Duration | None,
    payload: bytes | None,
    tags: Words | None,
    exclude: Words | None,
    quorum: tuple[int, int] | None,
    group: Text | None,
    reports: int | None,
    by: Text | None,
) -> Command[int | None]:
    args: list[Any] = ["MODQ.UPDATE", key, raw(item)]
    option(args, "REV", rev)
    option(args, "PRIORITY", priority)
    duration(args, "BOOST", boost)
    option(args, "PAYLOAD", payload)
    counted(args, "TAGS", tags)
    counted(args, "EXCLUDE", exclude)
    _quorum(args, quorum)
    word(args, "GROUP", group)
    option(args, "REPORTS", reports)
    word(args, "BY", by)
    # A quorum may end the item: the second answer would be that there is none.
    return Command(args, replies.rev, keys=(key,), again=rev is None and quorum is None)


def claim_options(
    *,
    count: int | None = None,
    lock: Duration | None = None,
    tags: Words | None = None,
    new: bool = False,
    withgroup: bool = False,
) -> list[Any]:
    args: list[Any] = []
    option(args, "COUNT", count)
    duration(args, "LOCK", lock)
    counted(args, "TAGS", tags)
    if new:
        args.append("NEW")
    if withgroup:
        args.append("WITHGROUP")
    return args


def claim(key: Key, moderator: Text, options: list[Any], block_ms: int | None = None) -> Command[list[Lock]]:
    args = ["MODQ.CLAIM", key, raw(moderator), *options]
    option(args, "BLOCK", block_ms)
    return Command(args, replies.locks, keys=(key,), again="NEW" not in options)


def mclaim(
    keys: Sequence[Key], moderator: Text, options: list[Any], block_ms: int | None = None
) -> Command[tuple[str, list[Lock]] | None]:
    args = ["MODQ.MCLAIM", len(keys), *keys, raw(moderator), *options]
    option(args, "BLOCK", block_ms)
    return Command(args, replies.keyed_locks, keys=tuple(keys), again="NEW" not in options)


def resolve(
    key: Key,
    item: Text,
    token: int,
    *,
    rev: int | None = None,
    verdict: Text | None = None,
    decision: Text | None = None,
    also: int | None = None,
    also_tags: Words | None = None,
    cursor: str | None = None,
) -> Command[Resolved]:
    args: list[Any] = ["MODQ.RESOLVE", key, raw(item), token]
    option(args, "REV", rev)
    word(args, "VERDICT", verdict)
    word(args, "DECISION", decision)
    if also is not None:
        args += ("ALSO", also)
        counted(args, "TAGS", also_tags)
        option(args, "CURSOR", cursor)
    return Command(args, replies.resolved, keys=(key,), again=False)


def mresolve(
    key: Key, pairs: Sequence[tuple[Text, int]], revs: Sequence[int] | None, verdict: Text | None, decision: Text | None
) -> Command[list[Resolved | ResponseError]]:
    flat = [one for item, token in pairs for one in (raw(item), token)]
    args: list[Any] = ["MODQ.MRESOLVE", key, len(pairs), *flat]
    if revs is not None:
        args += ("REVS", *revs)
    word(args, "VERDICT", verdict)
    word(args, "DECISION", decision)
    return Command(args, replies.each(replies.resolved), keys=(key,), again=False)


def release(key: Key, item: Text, token: int, skip: bool = False, delay: Duration | None = None) -> Command[None]:
    args: list[Any] = ["MODQ.RELEASE", key, raw(item), token]
    if skip:
        args.append("SKIP")
    duration(args, "DELAY", delay)
    return Command(args, ok, keys=(key,), again=False)


def extend(key: Key, item: Text, token: int, lock: Duration) -> Command[int]:
    return Command(["MODQ.EXTEND", key, raw(item), token, ms(lock)], integer, keys=(key,))


def mextend(key: Key, pairs: Sequence[tuple[Text, int]], lock: Duration) -> Command[list[int | ResponseError]]:
    flat = [one for item, token in pairs for one in (raw(item), token)]
    return Command(["MODQ.MEXTEND", key, ms(lock), len(pairs), *flat], replies.each(integer), keys=(key,))


def join(key: Key, moderator: Text, ttl: Duration | None, count: int | None, tags: Words | None) -> Command[str]:
    args: list[Any] = ["MODQ.JOIN", key, raw(moderator)]
    duration(args, "TTL", ttl)
    option(args, "COUNT", count)
    counted(args, "TAGS", tags)
    return Command(args, text, keys=(key,))


def leave(key: Key, moderator: Text, release: bool = False) -> Command[bool]:
    args: list[Any] = ["MODQ.LEAVE", key, raw(moderator)]
    if release:
        args.append("RELEASE")
    return Command(args, flag, keys=(key,))


def move(
    source: Key, destination: Key, item: Text, token: int | None, priority: int | None, by: Text | None
) -> Command[None]:
    args: list[Any] = ["MODQ.MOVE", source, destination, raw(item)]
    option(args, "TOKEN", token)
    option(args, "PRIORITY", priority)
    word(args, "BY", by)
    return Command(args, ok, keys=(source, destination), again=False)


def assign(
    key: Key, item: Text, moderator: Text, lock: Duration | None, token: int | None, by: Text | None
) -> Command[int]:
    args: list[Any] = ["MODQ.ASSIGN", key, raw(item), raw(moderator)]
    duration(args, "LOCK", lock)
    option(args, "TOKEN", token)
    word(args, "BY", by)
    return Command(args, integer, keys=(key,), again=False)


def pause(key: Key, side: str | None) -> Command[None]:
    return Command(["MODQ.PAUSE", key, *([side.upper()] if side else [])], ok, keys=(key,))


def unpause(key: Key, side: str | None) -> Command[None]:
    return Command(["MODQ.UNPAUSE", key, *([side.upper()] if side else [])], ok, keys=(key,))


def revive(key: Key, items: Sequence[Text], by: Text | None) -> Command[int]:
    words = [raw(item) for item in items]
    if len(words) == 1 and words[0].upper() == b"ALL":
        words *= 2  # an item that is itself called ALL is named twice
    args: list[Any] = ["MODQ.REVIVE", key, *words]
    word(args, "BY", by)
    return Command(args, integer, keys=(key,))


def revive_all(key: Key, count: int | None, by: Text | None) -> Command[int]:
    args: list[Any] = ["MODQ.REVIVE", key, "ALL"]
    option(args, "COUNT", count)
    word(args, "BY", by)
    return Command(args, integer, keys=(key,))


def configure(
    key: Key,
    *,
    lock: Duration | None,
    maxexpiries: int | None,
    maxlen: int | None,
    capacity: int | None,
    late: str | None,
    aging: Duration | None,
    events: Text | None,
    eventsmaxlen: int | None,
    quorum: tuple[int, int] | None,
    splittag: Text | None,
    retain: Duration | None,
    retainmax: int | None,
) -> Command[None]:
    args: list[Any] = ["MODQ.CONFIGURE", key]
    duration(args, "LOCK", lock)
    option(args, "MAXEXPIRIES", maxexpiries)
    option(args, "MAXLEN", maxlen)
    option(args, "CAPACITY", capacity)
    option(args, "LATE", late and late.upper())
    duration(args, "AGING", aging)
    word(args, "EVENTS", events)
    option(args, "EVENTSMAXLEN", eventsmaxlen)
    _quorum(args, quorum)
    word(args, "SPLITTAG", splittag)
    duration(args, "RETAIN", retain)
    option(args, "RETAINMAX", retainmax)
    if len(args) == 2:
        raise TypeError("configure() needs a setting; settings() shows them")
    return Command(args, ok, keys=(key,))


def config(key: Key) -> Command[Settings]:
    return Command(["MODQ.CONFIG", key], replies.settings, keys=(key,))


def get(key: Key, item: Text) -> Command[Item | None]:
    return Command(["MODQ.GET", key, raw(item)], replies.item, keys=(key,))


def length(key: Key, state: str | None) -> Command[int]:
    return Command(["MODQ.LEN", key, *([state.upper()] if state else [])], integer, keys=(key,))


def peek(key: Key, count: int | None, moderator: Text | None, tags: Words | None) -> Command[list[str]]:
    args: list[Any] = ["MODQ.PEEK", key]
    option(args, "COUNT", count)
    word(args, "FOR", moderator)
    counted(args, "TAGS", tags)
    return Command(args, texts, keys=(key,))


def position(key: Key, item: Text) -> Command[int | None]:
    return Command(["MODQ.POSITION", key, raw(item)], replies.rev, keys=(key,))


def listing(key: Key, state: str, cursor: str, count: int | None) -> Command[tuple[str, list[Row]]]:
    args: list[Any] = ["MODQ.LIST", key, state.upper(), "CURSOR", cursor]
    option(args, "COUNT", count)
    return Command(args, replies.page, keys=(key,))


def held(key: Key, moderator: Text, count: int | None) -> Command[list[Lock]]:
    args: list[Any] = ["MODQ.HELD", key, raw(moderator)]
    option(args, "COUNT", count)
    return Command(args, replies.locks, keys=(key,))


def waiters(key: Key, count: int | None) -> Command[list[Waiter]]:
    args: list[Any] = ["MODQ.WAITERS", key]
    option(args, "COUNT", count)
    return Command(args, replies.waiters, keys=(key,))


def stats(key: Key, brief: bool) -> Command[Stats]:
    return Command(["MODQ.STATS", key, *(["BRIEF"] if brief else [])], replies.stats, keys=(key,))


def why(key: Key, item: Text, moderator: Text, tags: Words | None) -> Command[list[str] | None]:
    args: list[Any] = ["MODQ.WHY", key, raw(item), raw(moderator)]
    counted(args, "TAGS", tags)
    return Command(args, replies.reasons, keys=(key,))


def decided(key: Key, item: Text) -> Command[Record | None]:
    return Command(["MODQ.DECIDED", key, raw(item)], replies.record, keys=(key,))


def forget(key: Key, items: Sequence[Text], by: Text | None) -> Command[int]:
    args: list[Any] = ["MODQ.FORGET", key, *(raw(item) for item in items)]
    word(args, "BY", by)
    return Command(args, integer, keys=(key,))


def group(key: Key, name: Text, cursor: str, count: int | None) -> Command[tuple[str, list[GroupRow]]]:
    args: list[Any] = ["MODQ.GROUP", key, raw(name), "CURSOR", cursor]
    option(args, "COUNT", count)
    return Command(args, replies.group_page, keys=(key,))


def cancel_group(
    key: Key,
    name: Text,
    *,
    count: int | None,
    cursor: str | None,
    except_tags: Words | None,
    reason: Text | None,
    by: Text | None,
) -> Command[Cancelled]:
    args: list[Any] = ["MODQ.CANCELGROUP", key, raw(name)]
    option(args, "COUNT", count)
    option(args, "CURSOR", cursor)
    counted(args, "EXCEPT", except_tags)
    word(args, "REASON", reason)
    word(args, "BY", by)
    return Command(args, replies.cancelled, keys=(key,), again=False)
