"""Every method of a queue, on both sides, by both protocols, on every server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from servers import Server, wait_until
from sides import Side

import modq
from modq import errors


@pytest.fixture
def queue(side: Side, connection: Any, name: str) -> Any:
    return side.make("Queue", connection, name)


def near(moment: datetime) -> bool:
    return abs(datetime.now(timezone.utc) - moment) < timedelta(hours=1)


def test_producers(queue: Any) -> None:
    assert queue.submit("post:1", b"\x00\xff", priority=3, boost=timedelta(seconds=1), tags=["en"]) == "READY"
    assert queue.submit("post:1", b"other") == "EXISTS"
    assert queue.submit("post:1", b"", priority=5, ondup="bump") == "BUMPED"
    assert queue.submit("post:1", b"new", ondup="replace", exclude=["bob"]) == "REPLACED"
    with pytest.raises(errors.Exists):
        queue.submit("post:1", b"", ondup="error")
    assert queue.submit("post:2", b"", delay=60) == "DELAYED"
    item = queue.get("post:1")
    assert (item.item, item.state, item.payload, item.raw) == ("post:1", "ready", b"new", b"new")
    assert (item.priority, item.boost, item.reports, item.rev) == (5, timedelta(seconds=1), 2, 3)
    assert (item.tags, item.excluded, item.due, item.token) == (["en"], ["bob"], None, None)
    assert near(item.submitted)
    assert near(queue.get("post:2").due)
    assert queue.get("nothing") is None
    assert queue.update("post:1", rev=3, payload=b"newer", tags=[], priority=1) == 4
    assert queue.update("post:1", rev=3, priority=9) is None
    with pytest.raises(errors.NoItem):
        queue.update("nothing", priority=1)
    assert queue.cancel("post:1", rev=1) is False
    assert queue.cancel("post:1", rev=4) is True
    assert queue.len() == 1 and queue.len("delayed") == 1


def test_moderators(queue: Any) -> None:
    for i in range(4):
        queue.submit(f"post:{i}", b"text", tags=["en"] if i == 3 else None)
    [claim] = queue.claim("alice", lock=60)
    assert (claim.item, claim.payload, claim.priority, claim.deliveries, claim.rev) == ("post:0", b"text", 0, 1, 1)
    assert claim.deadline - datetime.now(timezone.utc) < timedelta(seconds=70)
    assert near(claim.submitted) and claim.moderator == "alice"
    assert [one.token for one in queue.claim("alice")] == [claim.token], "a claim is safe to repeat"
    second = queue.claim("alice", new=True)[0]
    assert second.item == "post:1"
    assert [one.item for one in queue.held("alice")] == ["post:0", "post:1"]
    deadline = claim.extend(3600)
    assert deadline == claim.deadline and deadline - datetime.now(timezone.utc) > timedelta(minutes=50)
    assert claim.resolve(decision="fine") == modq.Resolved("OK")
    with pytest.raises(errors.NoItem):
        claim.resolve()
    with pytest.raises(errors.Stale):
        queue.resolve("post:1", 17)
    queue.update("post:1", payload=b"edited")
    with pytest.raises(errors.Changed):
        second.resolve(check_rev=True)
    second.release(skip=True)
    assert queue.why("post:1", "alice") == ["excluded"]
    assert queue.why("nothing", "alice") is None
    assert [one.item for one in queue.claim("alice", count=5, tags=["en"])] == ["post:2", "post:3"]
    assert queue.leave("alice", release=True) is False
    assert queue.len("locked") == 0


def test_waiting(queue: Any) -> None:
    assert queue.claim("alice", block=0.05) == []
    assert queue.join("alice", ttl=60, tags=["en"]) == "WAITING"
    [waiter] = queue.waiters()
    assert (waiter.moderator, waiter.kind, waiter.tags) == ("alice", "joined", ["en"])
    assert queue.submit("post:1", b"", tags=["en"]) == "ASSIGNED"
    assert queue.join("alice") == "ASSIGNED"
    assert queue.leave("alice") is False
    [claim] = queue.claim("alice", block=timedelta(seconds=1))
    claim.release(delay=3600)
    assert queue.len("delayed") == 1


def test_supervisors(queue: Any, side: Side, connection: Any, name: str) -> None:
    other = side.make("Queue", connection, f"{name}:second")
    for i in range(4):
        queue.submit(f"post:{i}", b"", exclude=["bob"] if i == 0 else None)
    with pytest.raises(errors.Excluded):
        queue.assign("post:0", "bob")
    token = queue.assign("post:0", "carol", lock=60)
    with pytest.raises(errors.Stale):
        queue.assign("post:0", "dave")
    queue.move("post:0", other, token=token, priority=7)
    assert other.get("post:0").priority == 7
    [claim] = queue.mclaim([other], "erin", count=9)[:1]
    assert claim.item == "post:1"
    claim.move(other)
    assert sorted(row.item for row in other.scan("ready", count=1)) == ["post:0", "post:1"]
    queue.leave("erin", release=True)
    queue.pause("in")
    with pytest.raises(errors.Paused):
        queue.submit("post:9", b"")
    queue.unpause()
    queue.configure(lock=60, maxexpiries=1, maxlen=2, capacity=3, late="accept", eventsmaxlen=7)
    settings = queue.settings()
    assert (settings.lock, settings.maxexpiries, settings.maxlen) == (timedelta(seconds=60), 1, 2)
    assert (settings.capacity, settings.late, settings.events, settings.eventsmaxlen) == (3, "accept", "", 7)
    with pytest.raises(errors.Full):
        queue.submit("post:9", b"")
    queue.claim("alice", count=2, lock=0.001)
    wait_until(lambda: queue.len("dead") == 2)
    assert queue.revive("post:2", "nothing") == 1
    assert queue.revive_all(count=10) == 1
    assert queue.revive() == 0


def test_reading(queue: Any) -> None:
    for i in range(3):
        queue.submit(f"post:{i}", b"", priority=i, tags=["legal"] if i == 2 else None)
    assert queue.peek(count=3) == ["post:2", "post:1", "post:0"]
    assert queue.peek(count=3, moderator="alice") == ["post:1", "post:0"]
    assert queue.position("post:1") == 2
    assert queue.position("nothing") is None
    cursor, rows = queue.list("ready", count=2)
    assert len(rows) == 2 and cursor != "0" and rows[0].moderator is None and near(rows[0].submitted)
    stats = queue.stats()
    assert (stats.ready, stats.submitted, stats.paused) == (3, 3, "none")
    assert stats.by_priority == {0: 1, 1: 1, 2: 1} and stats.by_tag["legal"] == 1
    assert isinstance(stats.wait_p95, timedelta) and stats.bytes > 0


def test_errors_of_the_server(queue: Any, side: Side, connection: Any, name: str) -> None:
    side.wait(connection.set(f"{name}:text", "x"))
    with pytest.raises(errors.WrongType) as caught:
        side.make("Queue", connection, f"{name}:text").len()
    assert caught.value.code == "WRONGTYPE" and isinstance(caught.value, modq.ModqError)
    with pytest.raises(errors.InvalidArgument):
        queue.submit("", b"")
    with pytest.raises(errors.EventsError):
        queue.configure(events=f"{name}:text")


def test_codecs(side: Side, connection: Any, name: str) -> None:
    queue = side.make("Queue", connection, name, codec=modq.JSON)
    queue.submit("post:1", {"text": "größe", "n": [1, None]})
    [claim] = queue.claim("alice")
    assert claim.payload == {"text": "größe", "n": [1, None]}
    side.make("Queue", connection, name).update("post:1", payload=b"{")
    assert queue.get("post:1").payload is None
    with pytest.raises(modq.PayloadError):
        _ = queue.held("alice")[0].payload
    assert queue.held("alice")[0].raw == b"{"


def test_any_bytes_are_ids(queue: Any) -> None:
    odd = b"\xff\x00\xfe"
    assert queue.submit(odd, b"", tags=[b"\xf0"]) == "READY"
    [claim] = queue.claim(b"\x80", tags=["x", b"\xf0"])
    assert claim.item.encode("utf-8", "surrogateescape") == odd
    assert queue.get(claim.item).moderator == claim.moderator
    claim.resolve()


def test_a_wait_has_a_connection_of_its_own(side: Side, one_server: Server, name: str) -> None:
    """A client with one connection and a short time-out goes on working while a claim waits longer than that."""
    client = side.client(one_server.port, socket_timeout=0.2, max_connections=1)
    queue = side.make("Queue", client, name)
    assert queue.claim("alice", block=0.5) == []
    assert queue.submit("post:1", b"") == "READY"
    assert [one.item for one in queue.claim("alice", block=1)] == ["post:1"]
