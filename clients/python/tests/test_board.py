"""Every method of a board."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sides import Side

from modq import errors
from modq.types import Added, AmongRow, BoardRow


def test_boards(side: Side, connection: Any, name: str) -> None:
    board = side.make("Board", connection, name)
    assert board.info() is None and board.configure(update="best") is False
    board.create(order=["desc", "asc"], update="best", ties="latest", columns=2, cap=100, retry=60)
    with pytest.raises(errors.Exists):
        board.create()
    assert board.configure(retry=timedelta(minutes=2)) is True
    info = board.info()
    assert (info.order, info.update, info.ties, info.columns) == (["desc", "asc"], "best", "latest", 2)
    assert (info.cap, info.retry, info.members) == (100, timedelta(minutes=2), 0)
    assert board.add("alice", [7, 100], id="m1") == Added(True, 1, None, (7, 100))
    assert board.add("alice", [7, 100], id="m1") == Added(False, 1, 1, (7, 100))
    assert board.add("bob", [9, 50]) == Added(True, 1, None, (9, 50))
    alice, nobody = board.get("alice", "nobody", ranking="standard")
    assert (alice.rank, alice.scores, nobody) == (2, (7, 100), None)
    assert board.get() == [] and len(board.get("RANKING", "STANDARD", "alice")) == 3
    assert board.top(1, offset=1) == [BoardRow(2, "alice", (7, 100))]
    assert board.around("alice", 1, 1) == [BoardRow(1, "bob", (9, 50)), BoardRow(2, "alice", (7, 100))]
    assert board.around("nobody", 1, 1) is None
    assert board.among("alice", "nobody") == [AmongRow(1, 2, "alice", (7, 100))]
    assert board.count([7, 100]) == 1 and board.card() == 2
    assert board.percentile("bob") == 100.0 and board.percentile("nobody") is None
    assert board.rem("bob", scores=[1, 1]) is False and board.rem("bob", scores=[9, 50]) is True
    assert board.close_season(f"{name}:old") == 1
    assert board.card() == 0
    side.wait(connection.zadd(f"{name}:z", {"carol": 5}))
    new = side.make("Board", connection, f"{name}:new")
    assert new.add("x", 1, nocreate=True) is None
    assert new.import_zset(f"{name}:z") == 1
    assert new.add("carol", 2, update="sum") == Added(True, 1, 1, (7,))
