"""Items that belong together: claimed, decided and cancelled together, on both sides, on every server."""

from __future__ import annotations

from typing import Any

import pytest
from sides import Side

from modq import Resolved
from modq.types import Cancelled


@pytest.fixture
def queue(side: Side, connection: Any, name: str) -> Any:
    return side.make("Queue", connection, name)


def test_items_of_a_group(queue: Any) -> None:
    queue.submit("post:0", b"")
    assert queue.submit_many([(f"post:{i}", b"") for i in (1, 2, 3)], group="author:7") == ["READY"] * 3
    queue.submit("post:4", b"", group="author:8", priority=4)
    assert queue.get("post:1").group == "author:7" and queue.get("post:0").group is None
    queue.assign("post:2", "ann")
    cursor, rows = queue.group("author:7")
    assert cursor == "0"
    assert [(one.item, one.state, one.priority, one.moderator) for one in rows] == [
        ("post:1", "ready", 0, None),
        ("post:2", "locked", 0, "ann"),
        ("post:3", "ready", 0, None),
    ]
    assert rows[0].submitted == queue.get("post:1").submitted
    cursor, rows = queue.group("author:7", count=1)
    assert [one.item for one in rows] == ["post:1"]
    while cursor != "0":
        cursor, more = queue.group("author:7", cursor=cursor, count=1)
        rows += more
    assert [one.item for one in rows] == ["post:1", "post:2", "post:3"]
    assert queue.update("post:3", group="") == 2 and queue.get("post:3").group is None
    assert queue.submit("post:1", b"", ondup="replace", group="author:8") == "REPLACED"
    assert {one.item for one in queue.group("author:8")[1]} == {"post:1", "post:4"}
    assert queue.group("nobody") == ("0", [])


def test_a_claim_with_its_group(queue: Any, side: Side, connection: Any, name: str) -> None:
    second = side.make("Queue", connection, f"{name}:second")
    for i in range(6):
        queue.submit(f"post:{i}", b"", group="odd" if i % 2 else None, priority=int(i == 1))
    claims = queue.claim("ann", count=5, withgroup=True)
    assert [one.item for one in claims] == ["post:1", "post:3", "post:5"]
    assert len({one.token for one in claims}) == 3, "each has its own lock"
    assert [one.item for one in queue.claim("bob", count=5, withgroup=True)] == ["post:0"]
    queue.leave("ann", release=True)
    assert [one.item for one in second.mclaim([queue], "ann", count=2, withgroup=True)] == ["post:1", "post:3"]


def test_deciding_the_rest_as_well(queue: Any, side: Side, connection: Any, name: str) -> None:
    queue.configure(events=f"{name}:events")
    for i in range(6):
        queue.submit(f"post:{i}", b"", group="author:7", tags=["legal"] if i == 5 else None)
    queue.submit("post:9", b"")
    queue.assign("post:1", "bob")
    [claim] = queue.claim("ann")
    done = claim.resolve("remove", decision="spam all of it", also=2)
    assert (done.status, done.confirmed, done.also, done.left) == ("OK", True, 2, 3)
    assert queue.get("post:2") is None and queue.get("post:3") is None and queue.get("post:9") is not None
    [claim] = queue.claim("ann")
    done = claim.resolve("remove", also=10, also_tags=["legal"], cursor=done.cursor)
    assert (claim.item, done) == ("post:4", Resolved("OK", True, 1, 1, "0")), "what bob holds is his"
    assert [one.item for one in queue.group("author:7")[1]] == ["post:1"]
    log = side.make("EventLog", connection, f"{name}:events")
    ends = [(one.item, one.fields.get("via"), one.fields["moderator"]) for one in log.replay() if one.ev == "resolve"]
    assert ends == [
        ("post:0", None, "ann"),
        ("post:2", "post:0", "ann"),
        ("post:3", "post:0", "ann"),
        ("post:4", None, "ann"),
        ("post:5", "post:4", "ann"),
    ]
    fold = log.fold()
    assert set(fold.items[name]) == {"post:1", "post:9"} and fold.items[name]["post:1"]["group"] == "author:7"
    assert queue.claim("cy")[0].resolve("keep", also=5) == Resolved("OK", True, 0, 0, "0"), "it is in no group"


def test_voting_on_the_rest_as_well(queue: Any) -> None:
    queue.configure(quorum=(2, 2))
    queue.submit_many([(f"post:{i}", b"") for i in range(3)], group="author:7")
    assert queue.claim("ann")[0].resolve("keep", also=10) == Resolved("VOTED", True, 2, 3, "0")
    assert all(len(queue.get(f"post:{i}").votes) == 1 for i in range(3))
    assert queue.claim("bob")[0].resolve("keep", also=10) == Resolved("OK", True, 2, 0, "0")
    assert queue.len() == 0


def test_cancelling_a_group(queue: Any, side: Side, connection: Any, name: str) -> None:
    queue.configure(events=f"{name}:events")
    queue.submit_many([(f"post:{i}", b"") for i in range(5)], group="author:7")
    queue.submit("post:5", b"", group="author:7", tags=["legal"])
    queue.assign("post:1", "ann")
    first = queue.cancel_group("author:7", count=2, except_tags=["legal"], reason="account closed", by="boss")
    assert (first.cancelled, first.left) == (2, 4) and first.cursor != "0"
    rest = queue.cancel_group("author:7", cursor=first.cursor, except_tags=["legal"])
    assert rest == Cancelled(3, 1, "0"), "locked ones too"
    assert queue.get("post:5") is not None and queue.len() == 1
    ends = [one for one in side.make("EventLog", connection, f"{name}:events").replay() if one.ev == "cancel"]
    assert len(ends) == 5 and ends[0].fields["reason"] == "account closed" and ends[0].fields["by"] == "boss"


def test_a_group_moves_with_its_item(queue: Any, side: Side, connection: Any, name: str) -> None:
    second = side.make("Queue", connection, f"{name}:second")
    for one in (queue, second):
        one.configure(events=f"{name}:events")
    queue.submit("post:1", b"", group="author:7")
    queue.move("post:1", second)
    assert second.get("post:1").group == "author:7"
    fold = side.make("EventLog", connection, f"{name}:events").fold()
    assert fold.items[f"{name}:second"]["post:1"]["group"] == "author:7" and fold.items[name] == {}
