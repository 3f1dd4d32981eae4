"""The commands of boards: what is sent, and how replies are read. No connection here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ._wire import (
    Command,
    Duration,
    Text,
    duration,
    fields,
    flag,
    integer,
    moment,
    ok,
    option,
    raw,
    span,
    text,
    texts,
    word,
)
from .types import Added, AmongRow, BoardInfo, BoardRow, Standing

Key = bytes
Scores = int | Sequence[int]


def row(scores: Scores) -> list[int]:
    if isinstance(scores, int):
        return [scores]
    if isinstance(scores, Sequence) and not isinstance(scores, (str, bytes)):
        return list(scores)
    raise TypeError(f"a score is an integer, or a sequence of them, not {type(scores).__name__}")


def ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def maybe(value: Any) -> int | None:
    return None if value is None else int(value)


def ranked(args: list[Any], ranking: str | None) -> list[Any]:
    option(args, "RANKING", ranking and ranking.upper())
    return args


def create(
    key: Key,
    order: Sequence[str] | str | None,
    update: str | None,
    ties: str | None,
    columns: int | None,
    cap: int | None,
    retry: Duration | None,
) -> Command[None]:
    args: list[Any] = ["RANK.CREATE", key]
    if order is not None:
        words = [order] if isinstance(order, str) else order
        args += ("ORDER", *(one.upper() for one in words))
    option(args, "UPDATE", update and update.upper())
    option(args, "TIES", ties and ties.upper())
    option(args, "COLUMNS", columns)
    option(args, "CAP", cap)
    duration(args, "RETRY", retry)
    return Command(args, ok, keys=(key,), again=False)


def configure(key: Key, update: str | None, retry: Duration | None) -> Command[bool]:
    args: list[Any] = ["RANK.CONFIGURE", key]
    option(args, "UPDATE", update and update.upper())
    duration(args, "RETRY", retry)
    return Command(args, lambda reply: reply is not None, keys=(key,))


def added(reply: Any) -> Added | None:
    if reply is None:
        return None
    changed, rank, old_rank, *scores = reply
    return Added(flag(changed), maybe(rank), maybe(old_rank), ints(scores))


def add(
    key: Key, member: Text, scores: Scores, update: str | None, id: Text | None, nocreate: bool
) -> Command[Added | None]:
    args: list[Any] = ["RANK.ADD", key, raw(member), *row(scores)]
    option(args, "UPDATE", update and update.upper())
    word(args, "ID", id)
    if nocreate:
        args.append("NOCREATE")
    # Best and last come to the same sent twice; a sum, which a board may do by default, does not without an id.
    return Command(args, added, keys=(key,), again=id is not None or update in ("best", "last"))


def standing(reply: Any) -> Standing | None:
    if reply is None:
        return None
    rank, *scores, achieved = reply
    return Standing(int(rank), ints(scores), moment(achieved))


def get(key: Key, members: Sequence[Text], ranking: str | None) -> Command[list[Standing | None]]:
    # RANKING counts only directly after the key: said always, so that a member of that name is asked after behind it.
    args = ["RANK.GET", key, "RANKING", (ranking or "ordinal").upper(), *(raw(member) for member in members)]
    return Command(args, lambda reply: [standing(one) for one in reply], keys=(key,))


def board_rows(reply: Any) -> list[BoardRow]:
    return [BoardRow(int(rank), text(member), ints(scores)) for rank, member, *scores in reply]


def top(key: Key, n: int, offset: int | None, ranking: str | None) -> Command[list[BoardRow]]:
    args: list[Any] = ["RANK.TOP", key, n]
    option(args, "OFFSET", offset)
    return Command(ranked(args, ranking), board_rows, keys=(key,))


def around(key: Key, member: Text, before: int, after: int, ranking: str | None) -> Command[list[BoardRow] | None]:
    args = ranked(["RANK.AROUND", key, raw(member), before, after], ranking)
    return Command(args, lambda reply: None if reply is None else board_rows(reply), keys=(key,))


def among(key: Key, members: Sequence[Text]) -> Command[list[AmongRow]]:
    def parse(reply: Any) -> list[AmongRow]:
        return [AmongRow(int(rank), int(overall), text(one), ints(scores)) for rank, overall, one, *scores in reply]

    return Command(["RANK.AMONG", key, *(raw(member) for member in members)], parse, keys=(key,))


def count(key: Key, scores: Scores) -> Command[int]:
    return Command(["RANK.COUNT", key, *row(scores)], integer, keys=(key,))


def percentile(key: Key, member: Text) -> Command[float | None]:
    return Command(
        ["RANK.PERCENTILE", key, raw(member)], lambda reply: None if reply is None else float(reply), keys=(key,)
    )


def card(key: Key) -> Command[int]:
    return Command(["RANK.CARD", key], integer, keys=(key,))


def info(key: Key) -> Command[BoardInfo | None]:
    def parse(reply: Any) -> BoardInfo | None:
        if reply is None:
            return None
        of = fields(reply)
        numbers = {name: int(of[name]) for name in ("columns", "cap", "members", "ids", "bytes")}
        update, ties = cast(Any, text(of["update"])), cast(Any, text(of["ties"]))
        return BoardInfo(order=texts(of["order"]), update=update, ties=ties, retry=span(of["retry"]), **numbers)

    return Command(["RANK.INFO", key], parse, keys=(key,))


def remove(key: Key, member: Text, scores: Scores | None) -> Command[bool]:
    args: list[Any] = ["RANK.REM", key, raw(member)]
    if scores is not None:
        args += ("SCORE", *row(scores))
    return Command(args, flag, keys=(key,))


def close(key: Key, destination: Key) -> Command[int]:
    return Command(["RANK.CLOSE", key, destination], integer, keys=(key, destination), again=False)


def imports(key: Key, zset: Text) -> Command[int]:
    return Command(["RANK.IMPORT", key, raw(zset)], integer, keys=(key, raw(zset)))
