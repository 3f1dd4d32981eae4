# Written by scripts/sync.py from modq/asyncio/board.py: change that.
"""Boards: every RANK command as a method."""

from __future__ import annotations

from collections.abc import Sequence

from .. import _rank as rank
from .._wire import Duration, Text, raw, text
from ..types import Added, AmongRow, BoardInfo, BoardRow, Order, Ranking, Standing, Ties, Update
from .link import Client, Link


class Board:
    """One board: one key. Scores are one integer, or a sequence of as many as the board has columns."""

    def __init__(self, client: Client, name: Text) -> None:
        self.key = raw(name)
        self.name = text(name)
        self.link = Link(client)

    def __repr__(self) -> str:
        return f"<Board {self.name!r}>"

    def close(self) -> None:
        """Closes the connections this object made, never yours. (A season ends by ``close_season``.)"""
        self.link.close()

    def create(
        self,
        *,
        order: Order | Sequence[Order] | None = None,
        update: Update | None = None,
        ties: Ties | None = None,
        columns: int | None = None,
        cap: int | None = None,
        retry: Duration | None = None,
    ) -> None:
        """RANK.CREATE; ``Exists`` if it is a board already."""
        self.link.run(rank.create(self.key, order, update, ties, columns, cap, retry))

    def configure(self, *, update: Update | None = None, retry: Duration | None = None) -> bool:
        """RANK.CONFIGURE, for later requests; False if there is no board."""
        return self.link.run(rank.configure(self.key, update, retry))

    def add(
        self,
        member: Text,
        scores: int | Sequence[int],
        *,
        update: Update | None = None,
        id: Text | None = None,
        nocreate: bool = False,
    ) -> Added | None:
        """RANK.ADD. With ``id`` a request sent again counts once. None with ``nocreate`` if there is no board."""
        return self.link.run(rank.add(self.key, member, scores, update, id, nocreate))

    def get(self, *members: Text, ranking: Ranking | None = None) -> list[Standing | None]:
        """RANK.GET: rank, scores and when they were reached, or None, for each."""
        return self.link.run(rank.get(self.key, members, ranking)) if members else []

    def top(self, n: int, *, offset: int | None = None, ranking: Ranking | None = None) -> list[BoardRow]:
        """RANK.TOP: the best ``n`` behind the first ``offset``."""
        return self.link.run(rank.top(self.key, n, offset, ranking))

    def around(self, member: Text, before: int, after: int, *, ranking: Ranking | None = None) -> list[BoardRow] | None:
        """RANK.AROUND: a member and who ranks next to it; None if it is not on the board."""
        return self.link.run(rank.around(self.key, member, before, after, ranking))

    def among(self, *members: Text) -> list[AmongRow]:
        """RANK.AMONG: how these rank among themselves."""
        return self.link.run(rank.among(self.key, members)) if members else []

    def count(self, scores: int | Sequence[int]) -> int:
        """RANK.COUNT: how many are strictly better than these scores."""
        return self.link.run(rank.count(self.key, scores))

    def percentile(self, member: Text) -> float | None:
        """RANK.PERCENTILE: which part of the members is no better, in percent."""
        return self.link.run(rank.percentile(self.key, member))

    def card(self) -> int:
        """RANK.CARD: how many members."""
        return self.link.run(rank.card(self.key))

    def info(self) -> BoardInfo | None:
        """RANK.INFO: the settings and what is in it; None if there is no board."""
        return self.link.run(rank.info(self.key))

    def rem(self, member: Text, *, scores: int | Sequence[int] | None = None) -> bool:
        """RANK.REM: whether it was removed; with ``scores`` only if those are still its row."""
        return self.link.run(rank.remove(self.key, member, scores))

    def close_season(self, destination: Text) -> int:
        """RANK.CLOSE: the board moves to ``destination``, and begins anew here; how many members moved."""
        return self.link.run(rank.close(self.key, raw(destination)))

    def import_zset(self, zset: Text) -> int:
        """RANK.IMPORT of a sorted set: its size."""
        return self.link.run(rank.imports(self.key, zset))
