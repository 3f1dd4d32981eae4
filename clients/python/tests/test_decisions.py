"""Verdicts, quorum, batches and what supervisors may say of a decision, on both sides, by both protocols, on every server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from servers import wait_until
from sides import Side

from modq import Resolved, errors
from modq.types import Bucket


@pytest.fixture
def queue(side: Side, connection: Any, name: str) -> Any:
    return side.make("Queue", connection, name)


def vote(queue: Any, moderator: str, item: str, verdict: str, **options: Any) -> Resolved:
    """Whoever the moderator is, the item is theirs to decide."""
    found: Resolved = queue.resolve(item, queue.assign(item, moderator), verdict=verdict, **options)
    return found


def test_two_of_three_agree(queue: Any) -> None:
    queue.configure(quorum=(2, 3))
    assert queue.settings().quorum == (2, 3)
    queue.submit("post:1", b"text")
    [claim] = queue.claim("ann")
    with pytest.raises(errors.InvalidArgument):
        claim.resolve(decision="prose is no verdict")
    assert claim.resolve("keep", decision="fine") == Resolved("VOTED")
    assert claim.resolve("keep") == Resolved("VOTED"), "a vote sent again is answered as it was"
    with pytest.raises(errors.Stale):
        claim.resolve("remove")
    assert queue.claim("ann") == [] and queue.why("post:1", "ann") == ["voted"]
    with pytest.raises(errors.Excluded):
        queue.assign("post:1", "ann")
    item = queue.get("post:1")
    assert (item.state, item.quorum, item.contested) == ("ready", (2, 3), False)
    assert [(one.moderator, one.verdict) for one in item.votes] == [("ann", "keep")]
    assert abs(datetime.now(timezone.utc) - item.votes[0].at) < timedelta(hours=1)
    assert queue.stats().voting == 1
    assert queue.claim("bob")[0].resolve("remove").status == "VOTED"
    assert queue.claim("cy")[0].resolve("keep") == Resolved("OK")
    assert queue.get("post:1") is None
    stats = queue.stats()
    assert (stats.votes, stats.splits, stats.resolved, stats.voting) == (2, 0, 1, 0)


def test_a_split_goes_to_who_has_the_tag(queue: Any) -> None:
    queue.configure(quorum=(2, 2), splittag="senior")
    assert queue.settings().splittag == "senior"
    queue.submit("post:1", b"", tags=["en"])
    assert queue.claim("ann", tags=["en"])[0].resolve("keep").status == "VOTED"
    assert queue.claim("bob", tags=["en"])[0].resolve("remove") == Resolved("SPLIT")
    item = queue.get("post:1")
    assert item.contested and item.state == "ready" and item.tags == ["en", "senior"]
    assert queue.claim("cy", tags=["en"]) == []
    assert queue.claim("ann", tags=["en", "senior"]) == [], "not to one of those who could not agree"
    stats = queue.stats()
    assert (stats.contested, stats.splits, stats.votes) == (1, 1, 2)
    wait_until(lambda: queue.stats().oldest_contested > timedelta(0))
    [claim] = queue.claim("dan", tags=["senior", "en"])
    assert claim.resolve("escalate") == Resolved("OK")
    queue.configure(splittag="")
    assert queue.settings().splittag == ""


def test_a_split_that_nobody_is_to_have_is_dead(queue: Any) -> None:
    for item in ("post:1", "post:2", "post:3"):
        queue.submit(item, b"text", quorum=(2, 2))
        assert vote(queue, "ann", item, "keep").status == "VOTED"
        assert vote(queue, "bob", item, "remove").status == "SPLIT"
    assert queue.len("dead") == 3 and queue.stats().died == 0
    assert queue.revive_all() == 0, "contested ones are passed over"
    assert queue.revive("post:1", by="boss") == 1
    revived = queue.get("post:1")
    assert (revived.state, revived.votes, revived.contested) == ("ready", (), False)
    assert queue.update("post:2", payload=b"edited") == 2
    assert queue.get("post:2").votes == () and queue.get("post:2").state == "ready"
    assert vote(queue, "cy", "post:3", "either").status == "OK"


def test_the_quorum_of_an_item_changes(queue: Any) -> None:
    queue.submit("post:1", b"", quorum=(2, 3))
    vote(queue, "ann", "post:1", "keep")
    assert queue.update("post:1", quorum=(3, 4), by="boss") == 2
    assert queue.get("post:1").quorum == (3, 4)
    assert queue.update("post:1", quorum=(1, 1)) == 3
    assert queue.get("post:1") is None, "one vote is enough now"
    queue.submit("post:1", b"text")
    assert queue.submit("post:1", b"other", ondup="replace", quorum=(2, 2)) == "REPLACED"
    assert queue.get("post:1").quorum == (2, 2)
    with pytest.raises(errors.InvalidArgument):
        queue.submit("post:2", b"", quorum=(3, 2))


def test_votes_move_with_their_item(queue: Any, side: Side, connection: Any, name: str) -> None:
    second = side.make("Queue", connection, f"{name}:second")
    queue.submit("post:1", b"", quorum=(2, 3))
    vote(queue, "ann", "post:1", "keep")
    queue.move("post:1", second, by="boss")
    moved = second.get("post:1")
    assert moved.quorum == (2, 3) and [one.moderator for one in moved.votes] == ["ann"]
    assert vote(second, "bob", "post:1", "keep") == Resolved("OK")


def test_what_supervisors_say(queue: Any, side: Side, connection: Any, name: str) -> None:
    queue.configure(events=f"{name}:events")
    assert queue.submit("post:1", b"", ondup="bump", step=5) == "READY"
    assert queue.submit("post:1", b"", ondup="bump", step=5) == "BUMPED"
    assert queue.submit("post:1", b"", ondup="bump", step=-2) == "BUMPED"
    item = queue.get("post:1")
    assert (item.priority, item.reports) == (3, 3)
    assert queue.update("post:1", reports=1, by="boss") == 4
    assert queue.get("post:1").reports == 1
    token = queue.assign("post:1", "ann", by="boss")
    with pytest.raises(errors.Stale):
        queue.assign("post:1", "bob", token=token - 1)
    second = queue.assign("post:1", "bob", token=token, by="boss")
    assert second > token and queue.get("post:1").moderator == "bob"
    with pytest.raises(errors.Stale):
        queue.resolve("post:1", token)
    assert queue.cancel("post:1", reason="the author asked", by="boss") is True
    log = side.make("EventLog", connection, f"{name}:events")
    told = [(one.ev, one.fields.get("by"), one.fields.get("reason")) for one in log.replay()]
    assert told[-4:] == [
        ("assign", "boss", None),
        ("release", "boss", None),
        ("assign", "boss", None),
        ("cancel", "boss", "the author asked"),
    ]
    fold = log.fold()
    assert fold.items[name] == {} and fold.totals[name]["released"] == 1


def test_stats(queue: Any) -> None:
    queue.submit("post:1", b"", quorum=(2, 2), tags=["en"])
    queue.claim("ann", tags=["en"])[0].resolve("keep")
    found = queue.stats()
    bounds = [one.bound for one in found.wait_histogram]
    assert bounds[0] == timedelta(seconds=1) and bounds[-2:] == [timedelta(hours=24), None]
    assert bounds == [one.bound for one in found.handle_histogram]
    assert found.wait_histogram[-1] == found.handle_histogram[-1] == Bucket(None, 1)
    assert found.wait_sum == timedelta(milliseconds=found.all["wait_ms_sum"])
    assert found.handle_sum == timedelta(milliseconds=found.all["handle_ms_sum"])
    assert found.by_tag["en"] == 1 and found.events_missed == 0
    brief = queue.stats(brief=True)
    assert brief.by_tag == {} and brief.by_priority == {} and brief.votes == 1
    assert set(found.all) == set(brief.all), "what is left out is empty, not missing"


def test_batches(queue: Any) -> None:
    queue.configure(maxlen=4)
    items = [(f"post:{i}", b"%d" % i) for i in range(6)]
    answers = queue.submit_many([items[0], *items], ondup="error", tags=["en"], priority=2)
    assert answers[0] == "READY" and isinstance(answers[1], errors.Exists)
    assert answers[2:5] == ["READY"] * 3 and all(isinstance(one, errors.Full) for one in answers[5:])
    claims = queue.claim("ann", count=4, tags=["en"], new=True)
    assert [one.payload for one in claims] == [b"0", b"1", b"2", b"3"] and claims[0].priority == 2
    pairs = [(one.item, one.token) for one in claims]
    deadlines = queue.extend_many([*pairs, ("post:0", 5), ("post:9", 5)], 3600)
    assert all(one - datetime.now(timezone.utc) > timedelta(minutes=50) for one in deadlines[:4])
    assert isinstance(deadlines[4], errors.Stale) and isinstance(deadlines[5], errors.NoItem)
    queue.update("post:1", payload=b"edited")
    done = queue.resolve_many(pairs[:3], revs=[one.rev for one in claims[:3]], verdict="keep", decision="fine")
    assert done[0] == done[2] == Resolved("OK") and isinstance(done[1], errors.Changed)
    queue.update("post:3", quorum=(2, 2))
    assert isinstance(queue.resolve_many(pairs[3:])[0], errors.InvalidArgument), "a verdict is needed"
    assert queue.resolve_many(pairs[3:], verdict="keep") == [Resolved("VOTED")]
    assert queue.submit_many([]) == queue.resolve_many([]) == queue.extend_many([], 1) == []


def test_what_is_wrong_with_a_batch_refuses_all(queue: Any) -> None:
    with pytest.raises(errors.InvalidArgument):
        queue.submit_many([("post:1", b""), ("", b"")])
    with pytest.raises(errors.InvalidArgument):
        queue.submit_many([(f"post:{i}", b"") for i in range(1001)])
    assert queue.len() == 0
    queue.pause("in")
    with pytest.raises(errors.Paused):
        queue.submit_many([("post:1", b"")])


def test_a_batch_over_shards(side: Side, connection: Any, name: str) -> None:
    sharded = side.make("ShardedQueue", connection, name, shards=3)
    answers = sharded.submit_many([(f"post:{i}", b"") for i in range(20)], priority=3, quorum=(2, 2))
    assert answers == ["READY"] * 20 and sharded.len() == 20
    assert sharded.get("post:7").quorum == (2, 2)
    assert sharded.cancel("post:7", reason="gone", by="boss") is True
