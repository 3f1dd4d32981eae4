"""The commands of moderation queues: how their replies are read. Pure functions over what redis-py gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from redis.exceptions import ResponseError

from . import errors
from ._wire import fields, flag, moment, moment_or_none, span, text, text_or_none, texts
from .types import (
    Bucket,
    Cancelled,
    GroupRow,
    Item,
    Lock,
    Record,
    Resolved,
    ResolveStatus,
    Row,
    Settings,
    State,
    Stats,
    SubmitStatus,
    Vote,
    Waiter,
)

T = TypeVar("T")


def lock(row: Any) -> Lock:
    item, payload, token, deadline, priority, submitted, deliveries, rev = row
    data = payload if isinstance(payload, bytes) else text(payload).encode("utf-8", "surrogateescape")
    return Lock(text(item), data, token, deadline, priority, submitted, deliveries, rev)


def locks(reply: Any) -> list[Lock]:
    return [lock(row) for row in reply or ()]


def keyed_locks(reply: Any) -> tuple[str, list[Lock]] | None:
    return None if reply is None else (text(reply[0]), locks(reply[1]))


def each(read: Callable[[Any], T]) -> Callable[[Any], list[T | ResponseError]]:
    """For batches: an array with errors in the places of what went wrong."""

    def parse(reply: Any) -> list[T | ResponseError]:
        return [errors.of(one) if isinstance(one, ResponseError) else read(one) for one in reply]

    return parse


def submitted(reply: Any) -> SubmitStatus:
    return cast(SubmitStatus, text(reply))


def resolved(reply: Any) -> Resolved:
    if isinstance(reply, (list, tuple)):
        status, also, left, cursor = reply
        return Resolved(cast(ResolveStatus, text(status)), True, int(also), int(left), text(cursor))
    return Resolved(cast(ResolveStatus, text(reply)))


def cancelled(reply: Any) -> Cancelled:
    return Cancelled(int(reply[0]), int(reply[1]), text(reply[2]))


def rev(reply: Any) -> int | None:
    return None if reply is None else int(reply)


def item(reply: Any) -> Item | None:
    if reply is None:
        return None
    of = fields(reply)
    k, n = of.get("quorum") or (1, 1)
    votes = tuple(Vote(text(row[0]), text(row[1]), moment(row[2])) for row in of.get("votes") or ())
    return Item(
        item=text(of["item"]),
        state=cast(State, text(of["state"])),
        raw=of["payload"],
        priority=int(of["priority"]),
        boost=span(of["boost"]),
        submitted=moment(of["submitted"]),
        due=moment_or_none(of["due"]),
        rev=int(of["rev"]),
        reports=int(of["reports"]),
        deliveries=int(of["deliveries"]),
        expiries=int(of["expiries"]),
        moderator=text_or_none(of["moderator"]),
        token=of["token"],
        deadline=moment_or_none(of["deadline"]),
        tags=texts(of["tags"]),
        excluded=texts(of["excluded"]),
        quorum=(int(k), int(n)),
        votes=votes,
        contested=flag(of.get("contested") or 0),
        group=text_or_none(of.get("group")),
        deciders=tuple(texts(of.get("deciders"))),
    )


def page(reply: Any) -> tuple[str, list[Row]]:
    rows = [
        Row(text(one[0]), int(one[1]), moment(one[2]), text_or_none(one[3]), moment_or_none(one[4])) for one in reply[1]
    ]
    return text(reply[0]), rows


def group_page(reply: Any) -> tuple[str, list[GroupRow]]:
    rows = [
        GroupRow(text(one[0]), cast(State, text(one[1])), int(one[2]), moment(one[3]), text_or_none(one[4]))
        for one in reply[1]
    ]
    return text(reply[0]), rows


def waiters(reply: Any) -> list[Waiter]:
    return [Waiter(text(row[0]), cast(Any, text(row[1])), moment(row[2]), texts(row[3])) for row in reply]


def settings(reply: Any) -> Settings:
    of = fields(reply)
    quorum = of.get("quorum")
    return Settings(
        lock=span(of["lock"]),
        maxexpiries=int(of["maxexpiries"]),
        maxlen=int(of["maxlen"]),
        capacity=int(of["capacity"]),
        late=cast(Any, text(of["late"])),
        aging=span(of["aging"]),
        events=text(of["events"]),
        eventsmaxlen=int(of["eventsmaxlen"]),
        quorum=None if quorum is None else (int(quorum[0]), int(quorum[1])),
        splittag=text_or_none(of.get("splittag")),
        retain=span(of["retain"]) if "retain" in of else None,
        retainmax=int(of["retainmax"]) if "retainmax" in of else None,
    )


def record(reply: Any) -> Record | None:
    if reply is None:
        return None
    of = fields(reply)
    return Record(
        item=text(of["item"]),
        verdict=text(of["verdict"]),
        decided=moment(of["decided"]),
        expires=moment(of["expires"]),
        token=int(of["token"]),
        rev=int(of["rev"]),
        submitted=moment(of["submitted"]),
        reports=int(of["reports"]),
        moderators=texts(of["moderators"]),
    )


def reasons(reply: Any) -> list[str] | None:
    return None if reply is None else texts(reply)


def _plain(value: Any) -> Any:
    return text(value) if isinstance(value, bytes) else value


def _histogram(rows: Any) -> tuple[Bucket, ...]:
    return tuple(Bucket(None if int(bound) < 0 else span(bound), int(count)) for bound, count in rows or ())


def stats(reply: Any) -> Stats:
    of = {name: _plain(value) for name, value in fields(reply).items()}

    def number(name: str) -> int:
        return int(of.get(name) or 0)

    for name in ("by_tag", "by_priority"):
        of[name] = {tag: int(count) for tag, count in fields(of.get(name) or {}).items()}
    numbers = (
        *("ready", "locked", "delayed", "dead", "waiting", "deferred", "bytes"),
        *("submitted", "resolved", "cancelled", "released", "expired", "died"),
        *("votes", "splits", "voting", "contested", "decided", "records_evicted"),
    )
    values: dict[str, Any] = {name: number(name) for name in numbers}
    values |= {
        f"{what}_{p}": span(number(f"{what}_ms_{p}")) for what in ("wait", "handle") for p in ("p50", "p95", "p99")
    }
    return Stats(
        **values,
        oldest_ready=span(number("oldest_ready_ms")),
        oldest_item=span(number("oldest_item_ms")),
        oldest_contested=span(number("oldest_contested_ms")),
        events_missed=int(of["events_missed"]) if of.get("events_missed") is not None else None,
        wait_sum=span(number("wait_ms_sum")),
        handle_sum=span(number("handle_ms_sum")),
        paused=cast(Any, of["paused"]),
        by_tag=of["by_tag"],
        by_priority={int(priority): count for priority, count in of["by_priority"].items()},
        wait_histogram=_histogram(of.get("wait_ms_histogram")),
        handle_histogram=_histogram(of.get("handle_ms_histogram")),
        all=of,
    )
