"""The event log: groups, what is left behind, checkpoints, and a fold that knows what the server knows."""

from __future__ import annotations

import threading
from typing import Any

from servers import wait_until
from sides import Side

from modq import Fold
from modq._wire import moment
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


def ended(queue: Any, moderator: str, item: str, verdict: str) -> str:
    """What a verdict comes to."""
    return str(queue.resolve(item, queue.assign(item, moderator), verdict=verdict, decision="why").status)


def test_folding_gives_the_votes(side: Side, connection: Any, name: str) -> None:
    queue = side.make("Queue", connection, name)
    second = side.make("Queue", connection, f"{name}:second")
    for one in (queue, second):
        one.configure(events=f"{name}:events", quorum=(2, 3), splittag="senior")
    for i in range(8):
        queue.submit(f"post:{i}", b"text", tags=["en"])
        assert ended(queue, "ann", f"post:{i}", "keep") == "VOTED"
    for i in (1, 2, 3):
        queue.update(f"post:{i}", quorum=(2, 2))
        assert ended(queue, "bob", f"post:{i}", "remove") == "SPLIT"
    queue.update("post:2", payload=b"edited")
    assert ended(queue, "cy", "post:3", "either") == "OK"
    queue.update("post:4", quorum=(1, 1))
    assert ended(queue, "bob", "post:5", "remove") == "VOTED"
    queue.update("post:5", quorum=(3, 3))  # more equal ones than there can be
    assert queue.get("post:5").contested
    queue.submit("post:6", b"another", ondup="replace")
    queue.move("post:1", second, by="boss")
    queue.move("post:7", second)
    fold = side.make("EventLog", connection, f"{name}:events").fold(Fold(remember=10))
    seen = 0
    for of in (queue, second):
        for item, known in [*asked(of, "ready").items(), *asked(of, "dead").items()]:
            told = fold.items[of.name][item]
            votes = tuple((who, verdict, moment(at)) for who, verdict, at in told.get("votes", []))
            assert votes == known.votes and told.get("contested", 0) == known.contested, item
            assert tuple(told["quorum"]) == known.quorum and told.get("tags", []) == known.tags
            assert not {"verdict", "decision", "by", "via"} & set(told)
            seen += 1
    assert seen == 6
    stats = queue.stats()
    assert {total: fold.totals[name][total] for total in ("votes", "splits", "resolved")} == {
        "votes": stats.votes, "splits": stats.splits, "resolved": stats.resolved,
    }  # fmt: skip
    assert Fold.load(fold.dump()) == fold
    records = fold.records[name]
    assert list(records) == ["post:3", "post:4"]
    assert records["post:3"]["verdict"] == "either" and records["post:3"]["moderators"] == ["ann", "bob", "cy"]
    assert records["post:4"]["verdict"] == "keep" and records["post:4"]["moderators"] == ["ann"]


def test_what_is_remembered_of_decisions() -> None:
    fold = Fold(remember=2)
    for i in range(3):
        item = f"post:{i}"
        fold.apply(Event(f"{i + 1}-1", "submit", "q", item, {"state": "ready", "submitted": 7, "reports": 2}))
        said = {"moderator": "ann", "token": i, "rev": 1, "at": 9, "verdict": "keep"}
        fold.apply(Event(f"{i + 1}-2", "resolve", "q", item, said))
    assert list(fold.records["q"]) == ["post:1", "post:2"] and fold.items["q"] == {}
    fold.apply(Event("9-1", "report", "q", "post:1", {"reports": 3, "rev": 1}))
    fold.apply(Event("9-2", "report", "q", "post:0", {"reports": 3, "rev": 1}))
    assert fold.records["q"]["post:1"] == {
        "verdict": "keep", "decided": 9, "token": 1, "rev": 1, "submitted": 7, "reports": 3, "moderators": ["ann"],
    }  # fmt: skip
    fold.apply(Event("9-3", "forget", "q", "post:1", {"rev": 1}))
    assert list(fold.records["q"]) == ["post:2"] and fold.items["q"] == {}
    none = Fold()
    none.apply(Event("1-1", "resolve", "q", "post:1", {"moderator": "ann", "at": 9}))
    assert none.records == {}, "unless it is asked for"
