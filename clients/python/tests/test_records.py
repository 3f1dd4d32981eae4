"""Decided items that are remembered: what submits, appeals and repeated decisions meet, on both sides, on every server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from proxy import Proxy
from servers import Server
from sides import Side

from modq import Fold, Resolved, errors
from modq._wire import moment


@pytest.fixture
def queue(side: Side, connection: Any, name: str) -> Any:
    made = side.make("Queue", connection, name)
    made.configure(retain=timedelta(days=1), retainmax=100, events=f"{name}:events")
    return made


def decide(queue: Any, moderator: str, item: str, verdict: str | None) -> int:
    """The token it was decided with."""
    token: int = queue.assign(item, moderator)
    assert queue.resolve(item, token, verdict=verdict).status == "OK"
    return token


def test_a_record(queue: Any) -> None:
    settings = queue.settings()
    assert (settings.retain, settings.retainmax) == (timedelta(days=1), 100)
    assert queue.decided("post:1") is None
    queue.submit("post:1", b"text", quorum=(2, 3))
    queue.submit("post:1", b"", ondup="bump")
    for moderator, verdict in (("ann", "keep"), ("bob", "remove")):
        queue.resolve("post:1", queue.assign("post:1", moderator), verdict=verdict)
    token = decide(queue, "cy", "post:1", "keep")
    record = queue.decided("post:1")
    assert (record.item, record.verdict, record.token, record.reports) == ("post:1", "keep", token, 2)
    assert record.moderators == ["ann", "bob", "cy"]
    assert record.expires - record.decided == timedelta(days=1)
    assert abs(datetime.now(timezone.utc) - record.decided) < timedelta(hours=1)
    assert record.submitted <= record.decided and record.rev == 2
    assert queue.stats().decided == 1
    assert queue.resolve("post:1", token, verdict="keep") == Resolved("OK")
    with pytest.raises(errors.Stale):
        queue.resolve("post:1", token, verdict="remove")
    queue.submit("post:2", b"")
    decide(queue, "ann", "post:2", None)
    assert queue.decided("post:2").verdict == ""
    assert queue.forget("post:1", "post:2", "post:3", by="privacy") == 2
    assert queue.decided("post:1") is None and queue.forget() == 0


def test_what_is_submitted_again(queue: Any) -> None:
    queue.submit("post:1", b"text")
    decide(queue, "ann", "post:1", "keep")
    assert queue.submit("post:1", b"other") == "DECIDED"
    assert queue.submit("post:1", b"other", ondecided="keep") == "DECIDED"
    assert queue.submit("post:1", b"", ondecided="count") == "DECIDED"
    assert queue.decided("post:1").reports == 2
    assert queue.submit("post:1", b"text", ondecided="changed") == "DECIDED"
    assert queue.submit_many([("post:1", b"text"), ("post:2", b"")]) == ["DECIDED", "READY"]
    assert queue.submit("post:1", b"edited", ondecided="changed") == "READY"
    assert queue.get("post:1").deciders == () and queue.decided("post:1").verdict == "keep"
    decide(queue, "bob", "post:1", "remove")
    assert queue.submit("post:1", b"edited", ondecided="again") == "READY"
    decide(queue, "bob", "post:1", "remove")
    with pytest.raises(errors.NoItem):
        queue.submit("post:9", b"", ondecided="appeal")
    assert queue.submit("post:1", b"edited", ondecided="appeal", quorum=(2, 2)) == "READY"
    assert queue.get("post:1").deciders == ("bob",)
    queue.cancel("post:2")
    assert queue.claim("bob") == [] and queue.why("post:1", "bob") == ["decider"]
    with pytest.raises(errors.Excluded):
        queue.assign("post:1", "bob")
    assert queue.claim("ann")[0].item == "post:1"


def test_only_so_many_are_remembered(queue: Any) -> None:
    queue.configure(retainmax=2)
    for i in range(4):
        queue.submit(f"post:{i}", b"")
        decide(queue, "ann", f"post:{i}", "keep")
    assert [queue.decided(f"post:{i}") is not None for i in range(4)] == [False, False, True, True]
    stats = queue.stats()
    assert (stats.decided, stats.records_evicted) == (2, 2)
    queue.configure(retain=0)
    assert queue.decided("post:3") is None and queue.submit("post:3", b"") == "READY"


def test_folding_gives_the_records(queue: Any, side: Side, connection: Any, name: str) -> None:
    for i in range(4):
        queue.submit(f"post:{i}", b"text", quorum=(2, 3) if i == 0 else None)
    queue.resolve("post:0", queue.assign("post:0", "zoe"), verdict="keep")
    for i in range(4):
        decide(queue, "ann", f"post:{i}", "keep")
    queue.submit("post:1", b"", ondecided="count")
    queue.submit("post:2", b"", ondecided="appeal")
    queue.forget("post:3", by="privacy")
    fold = side.make("EventLog", connection, f"{name}:events").fold(Fold(remember=100))
    assert list(fold.items[name]) == ["post:2"]
    assert tuple(fold.items[name]["post:2"]["deciders"]) == queue.get("post:2").deciders == ("ann",)
    assert list(fold.records[name]) == ["post:0", "post:1", "post:2"]
    for item, told in fold.records[name].items():
        known = queue.decided(item)
        assert (told["verdict"], told["token"], told["rev"]) == (known.verdict, known.token, known.rev)
        assert (told["reports"], told["moderators"]) == (known.reports, known.moderators)
        assert (moment(told["decided"]), moment(told["submitted"])) == (known.decided, known.submitted)


@pytest.mark.parametrize("lost", [1, 3])
def test_a_decision_whose_reply_is_lost_is_sure(
    side: Side, one_server: Server, name: str, proxied: Callable[[int], Proxy], lost: int
) -> None:
    proxy = proxied(one_server.port)
    queue = side.make("Queue", side.client(proxy.port), name)
    queue.configure(retain=3600)
    for item in ("post:1", "post:2"):
        queue.submit(item, b"")
    with closing(queue.work("bot")) as claims:
        claim = next(claims)
        proxy.drop_replies("MODQ.RESOLVE", lost)
        assert claim.resolve("keep") == Resolved("OK", confirmed=True)
    assert proxy.dropped == lost and queue.decided("post:1").verdict == "keep"
    [claim] = queue.claim("ann")
    proxy.drop_replies("MODQ.RESOLVE", 1)
    assert claim.resolve("keep") == Resolved("OK", confirmed=True), "outside of workers it is sent once more"
    assert queue.stats().resolved == 2
