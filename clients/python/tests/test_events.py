"""The event log: groups, what is left behind, checkpoints, and a fold that knows what the server knows."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from servers import wait_until
from sides import Side

from modq import Fold
from modq.events import Event


def busy_queue(side: Side, connection: Any, name: str) -> Any:
    queue = side.make("Queue", connection, name)
    queue.configure(events=f"{name}:events", maxexpiries=1)
    for i in range(8):
        queue.submit(f"post:{i}", b"text", priority=i, tags=["en"] if i == 7 else None)
    queue.submit("post:1", b"", ondup="bump")
    queue.submit("post:late", b"", delay=3600)
    claims = queue.claim("alice", count=4)
    claims[0].resolve(decision="fine")
    claims[1].release(skip=True)
    claims[2].extend(600)
    queue.cancel("post:0")
    queue.update("post:2", tags=["a", "b"], exclude=["eve"])
    queue.claim("bob", lock=0.001)
    wait_until(lambda: queue.len("dead") == 1)
    return queue


def asked(queue: Any, state: str) -> dict[str, Any]:
    return {row.item: queue.get(row.item) for row in queue.scan(state)}


def test_folding_gives_the_state(side: Side, connection: Any, name: str) -> None:
    queue = busy_queue(side, connection, name)
    log = side.make("EventLog", connection, f"{name}:events")
    fold = Fold()
    for one in log.replay(count=3):
        assert fold.apply(one) is True
        assert fold.apply(one) is False
    items = {
        item: known for state in ("ready", "locked", "delayed", "dead") for item, known in asked(queue, state).items()
    }
    told = fold.items[name]
    assert set(told) == set(items)
    for item, known in items.items():
        of = told[item]
        assert (of["state"], of["priority"], of["rev"]) == (known.state, known.priority, known.rev)
        assert (of["reports"], of["deliveries"], of["expiries"]) == (known.reports, known.deliveries, known.expiries)
        assert (of.get("tags", []), of.get("excluded", [])) == (known.tags, known.excluded)
        assert (of.get("moderator"), of.get("token")) == (known.moderator, known.token)
    stats = queue.stats()
    totals = fold.totals[name]
    for total in ("submitted", "resolved", "cancelled", "released", "expired", "died"):
        assert totals[total] == getattr(stats, total), total
    assert log.fold() == fold
    # Kept and taken up again, it goes on behind the last event.
    again = Fold.load(fold.dump())
    assert again == fold
    queue.submit("post:new", b"")
    assert [one.item for one in log.replay(after=again.checkpoint)] == ["post:new"]
    stop = threading.Event()
    for one in log.follow(after=again.checkpoint, stop=stop):
        assert one.item == "post:new"
        stop.set()
    assert log.fold(again).items[name]["post:new"]["state"] == "ready"


def test_groups(side: Side, connection: Any, name: str) -> None:
    queue = side.make("Queue", connection, name)
    queue.configure(events=f"{name}:events")
    log = side.make("EventLog", connection, f"{name}:events")
    assert log.create_group("archive") is True and log.create_group("archive") is False
    assert log.new("archive", "one", block=0.05) == []
    for i in range(3):
        queue.submit(f"post:{i}", b"")
    first = log.new("archive", "one", count=2)
    assert [(one.ev, one.item, one.key, one.again) for one in first] == [
        ("submit", "post:0", name, False),
        ("submit", "post:1", name, False),
    ]
    assert isinstance(first[0].fields["priority"], int) and first[0].at.tzinfo is not None
    assert log.ack("archive", first[0]) == 1 and log.ack("archive") == 0
    assert [one.item for one in log.pending("archive", "one")] == ["post:1"]
    assert log.abandoned("archive", "two", idle=3600) == []
    taken = log.abandoned("archive", "two", idle=0)
    assert [(one.item, one.again) for one in taken] == [("post:1", True)]
    stop = threading.Event()
    seen = []
    for one in log.read("archive", "three", idle=0.05, stop=stop):
        seen.append(one.item)
        log.ack("archive", one)
        if len(seen) == 2:
            stop.set()
    assert sorted(seen) == ["post:1", "post:2"]


@pytest.mark.parametrize("ev", ["vote", "split"])
def test_votes_are_told_and_no_item_is_made_by_records(ev: str) -> None:
    fold = Fold()
    fold.apply(Event("1-1", "submit", "q", "a", {"state": "ready", "rev": 1}))
    fold.apply(Event("1-2", "claim", "q", "a", {"state": "locked", "moderator": "m", "token": 5}))
    fold.apply(Event("1-3", ev, "q", "a", {"state": "ready", "moderator": "m", "token": 5, "verdict": "keep"}))
    assert fold.items["q"]["a"] == {"state": "ready", "rev": 1, "verdict": "keep"}
    assert fold.totals["q"] == {"submitted": 1, f"{ev}s": 1}
    fold.apply(Event("1-4", "report", "q", "gone", {"reports": 2}))
    assert set(fold.items["q"]) == {"a"}
