"""The commands of rate limits: what is sent, and how replies are read. No connection here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, cast

from ._wire import Command, Duration, Text, fields, flag, integer, moment, ms, ok, option, raw, span, text, texts, word
from .types import Acquired, Algo, Check, LeaseRow, Limit, LimitState, MultiCheck

Key = bytes


def limit_args(limit: Limit) -> list[Any]:
    if not isinstance(limit, Limit):
        raise TypeError(f"a limit is modq.Limit(quota, window), not {limit!r}")
    args: list[Any] = [limit.quota, ms(limit.window), "ALGO", limit.algo.upper()]
    option(args, "BURST", limit.burst)
    return args


def limits_args(limits: Sequence[Limit]) -> list[Any]:
    if not limits:
        raise ValueError("at least one limit, or a policy, is needed")
    args = limit_args(limits[0])
    for limit in limits[1:]:
        args += ("LIMIT", *limit_args(limit))
    return args


def wait(value: Any) -> timedelta | None:
    """A retry_after: None if waiting never helps."""
    return None if int(value) < 0 else span(value)


def reason_of(allowed: Any, retry_after: Any) -> str:
    if int(allowed):
        return "allowed"
    return "too_large" if int(retry_after) < 0 else "limited"


def check_reply(cost: int) -> Any:
    def parse(reply: Any) -> Check:
        allowed, limit, remaining, retry_after, reset_after, *more = reply
        granted = int(more[0]) if more else (cost if int(allowed) else 0)
        return Check(
            allowed=flag(allowed),
            limit=int(limit),
            remaining=int(remaining),
            retry_after=wait(retry_after),
            reset_after=span(reset_after),
            granted=granted,
            limits=tuple(limit_state(row) for row in more[1]) if len(more) > 1 else (),
            reason=reason_of(allowed, retry_after),
        )

    return parse


def limit_state(row: Any) -> LimitState:
    quota, window, remaining, next_after, reset_after, violated = row
    return LimitState(int(quota), span(window), int(remaining), span(next_after), span(reset_after), flag(violated))


def check(
    key: Key,
    what: list[Any],
    *,
    peek: bool = False,
    cost: int = 1,
    id: Text | None = None,
    partial: bool = False,
    detail: bool = False,
) -> Command[Check]:
    """``what`` is limits, or POLICY and a name."""
    args = ["RATELIMIT.PEEK" if peek else "RATELIMIT.CHECK", key, *what]
    if cost != 1:
        args += ("COST", cost)
    word(args, "ID", id)
    if partial:
        args.append("PARTIAL")
    if detail:
        args.append("DETAIL")
    return Command(args, check_reply(cost), keys=(key,), again=peek or cost == 0 or id is not None)


def mcheck(keys: Sequence[Key], limits: Sequence[Limit], cost: int) -> Command[MultiCheck]:
    args: list[Any] = ["RATELIMIT.MCHECK", len(keys), *keys]
    for limit in limits:
        args += ("LIMIT", *limit_args(limit))
    if cost != 1:
        args += ("COST", cost)

    def parse(reply: Any) -> MultiCheck:
        allowed, retry_after, *each = reply
        return MultiCheck(flag(allowed), wait(retry_after), tuple(check_reply(cost)(one) for one in each))

    return Command(args, parse, keys=tuple(keys), again=cost == 0)


def refund(key: Key, cost: int | None, id: Text | None) -> Command[int]:
    if (cost is None) == (id is None):
        raise TypeError("refund() needs either cost or id")
    args: list[Any] = ["RATELIMIT.REFUND", key]
    option(args, "COST", cost)
    word(args, "ID", id)
    return Command(args, integer, keys=(key,), again=id is not None)


def reset(key: Key) -> Command[bool]:
    return Command(["RATELIMIT.RESET", key], flag, keys=(key,))


def block(key: Key, duration: Duration) -> Command[None]:
    return Command(["RATELIMIT.BLOCK", key, ms(duration)], ok, keys=(key,))


def policy_set(name: Text, limits: Sequence[Limit]) -> Command[None]:
    return Command(["RATELIMIT.POLICY", "SET", raw(name), *limits_args(limits)], ok)


def policy_get(name: Text) -> Command[list[Limit] | None]:
    def parse(reply: Any) -> list[Limit] | None:
        return None if reply is None else [policy_limit(row) for row in fields(reply)["limits"]]

    return Command(["RATELIMIT.POLICY", "GET", raw(name)], parse)


def policy_limit(row: Any) -> Limit:
    of = fields(row)
    algo = cast(Algo, text(of["algo"]).lower())
    burst = int(of["burst"]) if algo == "gcra" else None
    return Limit(int(of["quota"]), span(of["window"]), algo, burst)


def policy_del(name: Text) -> Command[bool]:
    return Command(["RATELIMIT.POLICY", "DEL", raw(name)], flag)


def policy_list() -> Command[list[str]]:
    return Command(["RATELIMIT.POLICY", "LIST"], texts)


def acquire(key: Key, maximum: int, id: Text, ttl: Duration, cost: int) -> Command[Acquired]:
    args: list[Any] = ["RATELIMIT.ACQUIRE", key, maximum, raw(id), "TTL", ms(ttl)]
    if cost != 1:
        args += ("COST", cost)

    def parse(reply: Any) -> Acquired:
        acquired, in_use, most, retry_after, fence = reply
        return Acquired(flag(acquired), int(in_use), int(most), wait(retry_after), int(fence))

    return Command(args, parse, keys=(key,))


def release(key: Key, id: Text) -> Command[bool]:
    return Command(["RATELIMIT.RELEASE", key, raw(id)], flag, keys=(key,))


def lease_rows(rows: Iterable[Any]) -> list[LeaseRow]:
    return [LeaseRow(text(id), int(cost), moment(expires), int(fence)) for id, cost, expires, fence in rows]


def leases(key: Key) -> Command[list[LeaseRow]]:
    return Command(["RATELIMIT.LEASES", key], lease_rows, keys=(key,))


def leases_page(key: Key, cursor: str, count: int | None) -> Command[tuple[str, list[LeaseRow]]]:
    args: list[Any] = ["RATELIMIT.LEASES", key, "CURSOR", cursor]
    option(args, "COUNT", count)
    return Command(args, lambda reply: (text(reply[0]), lease_rows(reply[1])), keys=(key,))
