"""What is sent and how replies are read, without a server: every option of decisions, and what older and newer modules say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from modq import _keys, _modq, errors
from modq._replies import each, item, record, resolved, settings, stats
from modq._wire import backoff, fields, ms, pieces
from modq.types import Cancelled, GroupRow, Resolved, Vote

Q = b"q"


def words(command: Any) -> str:
    return " ".join(one.decode() if isinstance(one, bytes) else str(one) for one in command.args)


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"quorum": (2, 3)}, "QUORUM 2 3"),
        ({"group": "author:7"}, "GROUP author:7"),
        ({"group": ""}, "GROUP "),
        ({"ondecided": "changed"}, "ONDECIDED CHANGED"),
        ({"ondup": "bump", "step": -2}, "ONDUP BUMP STEP -2"),
        ({"tags": "one"}, "TAGS 1 one"),
        ({"tags": (), "exclude": iter(["a", b"b"])}, "TAGS 0 EXCLUDE 2 a b"),
        ({"delay": timedelta(minutes=1), "boost": -0.5}, "BOOST -500 DELAY 60000"),
    ],
)
def test_submit(options: Any, sent: str) -> None:
    made = _modq.submit_options(**options)
    assert words(_modq.submit(Q, "a", b"x", made)) == f"MODQ.SUBMIT q a x {sent}"
    batch = _modq.msubmit(Q, [("a", b"x"), ("b", b"y")], made)
    assert words(batch) == f"MODQ.MSUBMIT q 2 a x b y {sent}"


def test_what_may_be_sent_twice() -> None:
    def again(**options: Any) -> bool:
        return _modq.submit(Q, "a", b"", _modq.submit_options(**options)).again

    assert again() and again(ondup="replace") and again(ondecided="keep") and again(ondecided="changed")
    assert again(tags=["BUMP"]), "a tag is no option"
    for ondecided in ("count", "again", "appeal"):
        assert not again(ondecided=ondecided)
    assert not again(ondup="bump") and not again(ondup="error")
    assert _modq.claim(Q, "m", _modq.claim_options()).again
    assert not _modq.claim(Q, "m", _modq.claim_options(new=True)).again


def test_decisions() -> None:
    sent = _modq.resolve(Q, "a", 7, rev=2, verdict="keep", decision="why", also=5, also_tags=["t"], cursor="c")
    assert words(sent) == "MODQ.RESOLVE q a 7 REV 2 VERDICT keep DECISION why ALSO 5 TAGS 1 t CURSOR c"
    assert words(_modq.mresolve(Q, [("a", 7), ("b", 8)], [1, 2], "keep", None)) == (
        "MODQ.MRESOLVE q 2 a 7 b 8 REVS 1 2 VERDICT keep"
    )
    assert words(_modq.mextend(Q, [("a", 7), ("b", 8)], 30)) == "MODQ.MEXTEND q 30000 2 a 7 b 8"
    assert words(_modq.claim(Q, "m", _modq.claim_options(count=5, withgroup=True), 10)) == (
        "MODQ.CLAIM q m COUNT 5 WITHGROUP BLOCK 10"
    )
    assert words(_modq.assign(Q, "a", "m", None, 7, "boss")) == "MODQ.ASSIGN q a m TOKEN 7 BY boss"
    assert words(_modq.cancel(Q, "a", None, "spam", "boss")) == "MODQ.CANCEL q a REASON spam BY boss"
    assert words(_modq.forget(Q, ["a", "b"], "boss")) == "MODQ.FORGET q a b BY boss"
    assert words(_modq.stats(Q, True)) == "MODQ.STATS q BRIEF"
    assert words(_modq.revive(Q, ["all"], None)) == "MODQ.REVIVE q all all"
    sent = _modq.cancel_group(Q, "g", count=5, cursor="c", except_tags=["t"], reason="r", by="b")
    assert words(sent) == "MODQ.CANCELGROUP q g COUNT 5 CURSOR c EXCEPT 1 t REASON r BY b"
    sent = _modq.update(
        Q, "a", rev=None, priority=None, boost=None, payload=None, tags=None, exclude=None,
        quorum=(1, 1), group="", reports=3, by="boss",
    )  # fmt: skip
    assert words(sent) == "MODQ.UPDATE q a QUORUM 1 1 GROUP  REPORTS 3 BY boss"
    names = (
        "lock",
        "maxexpiries",
        "maxlen",
        "capacity",
        "late",
        "aging",
        "events",
        "eventsmaxlen",
        "quorum",
        "splittag",
    )
    none = dict.fromkeys(names)
    sent = _modq.configure(Q, **{**none, "quorum": (2, 3), "splittag": "senior"}, retain=86400, retainmax=0)  # type: ignore[arg-type]
    assert words(sent) == "MODQ.CONFIGURE q QUORUM 2 3 SPLITTAG senior RETAIN 86400000 RETAINMAX 0"
    with pytest.raises(TypeError):
        _modq.configure(Q, **none, retain=None, retainmax=None)  # type: ignore[arg-type]


def test_replies() -> None:
    assert resolved(b"VOTED") == Resolved("VOTED")
    assert resolved([b"OK", 2, 5, b"17"]) == Resolved("OK", True, 2, 5, "17")
    assert _modq.cancel_group(Q, "g", count=1, cursor=None, except_tags=None, reason=None, by=None).parse(
        [3, 1, b"0"]
    ) == Cancelled(3, 1, "0")
    cursor, rows = _modq.group(Q, "g", "0", None).parse([b"0", [[b"a", b"locked", 1, 1000, b"m"]]])
    assert cursor == "0" and rows[0] == GroupRow("a", "locked", 1, rows[0].submitted, "m")
    made = each(resolved)([b"OK", ResponseError("STALE no"), ResponseError("a VERDICT is needed")])
    assert made[0] == Resolved("OK") and isinstance(made[1], errors.Stale)
    assert isinstance(made[2], errors.InvalidArgument)
    rest = [b"submitted", 1000, b"reports", 2, b"moderators", [b"m", b"n"]]
    found = record(
        [b"item", b"a", b"verdict", b"keep", b"decided", 2000, b"expires", 3000, b"token", 7, b"rev", 1, *rest]
    )
    assert found is not None and found.verdict == "keep" and found.moderators == ["m", "n"]
    assert record(None) is None


def test_items_with_votes() -> None:
    base = [
        "item",
        "state",
        "payload",
        "priority",
        "boost",
        "submitted",
        "due",
        "rev",
        "reports",
        "deliveries",
        "expiries",
    ]
    reply = dict(zip(base, [b"a", b"ready", b"x", 0, 0, 1000, 0, 1, 1, 0, 0], strict=True))
    reply |= {"moderator": None, "token": None, "deadline": None, "tags": [], "excluded": []}
    plain = item(reply)
    assert plain is not None and plain.quorum == (1, 1) and plain.votes == () and plain.group is None
    reply |= {"quorum": [2, 3], "votes": [[b"m", b"keep", 5]], "contested": 1, "group": b"g", "deciders": [b"n"]}
    voted = item(reply)
    assert voted is not None and voted.quorum == (2, 3) and voted.contested and voted.group == "g"
    assert voted.votes == (Vote("m", "keep", voted.votes[0].at),) and voted.deciders == ("n",)


def test_stats_and_settings_of_newer_modules() -> None:
    found = stats(
        {b"ready": 1, b"paused": b"none", b"votes": 4, b"wait_ms_histogram": [[1000, 3], [-1, 5]], b"new_one": 9}
    )
    assert found.votes == 4 and [bucket.waits for bucket in found.wait_histogram] == [3, 5]
    assert found.wait_histogram[1].bound is None and found.by_tag == {} and found.all["new_one"] == 9
    base = {b"lock": 1, b"maxexpiries": 1, b"maxlen": 0, b"capacity": 0, b"late": b"reject", b"aging": 0}
    base |= {b"events": b"", b"eventsmaxlen": 1}
    assert settings(base).quorum is None and settings(base).retain is None
    newer = settings(base | {b"quorum": [2, 3], b"splittag": b"s", b"retain": 1000, b"retainmax": 5})
    assert newer.quorum == (2, 3) and newer.splittag == "s" and newer.retain == timedelta(seconds=1)


def test_durations() -> None:
    assert [ms(one) for one in (1, 0.0001, 1.1, timedelta(microseconds=1), timedelta(days=1))] == [
        1000, 1, 1100, 1, 86_400_000,
    ]  # fmt: skip
    assert next(pieces(0, 5)) == 5000 and set(pieces(0.001, 5)) == {1}
    with pytest.raises(ValueError):
        next(pieces(-1, 5))
    assert all(0 < backoff(n) <= 3 for n in range(1, 50))
    assert fields([b"a", 1]) == fields({b"a": 1}) == {"a": 1}


def test_errors_by_their_code() -> None:
    of = errors.of
    assert isinstance(of(ResponseError("STALE the token")), errors.Stale)
    assert str(of(ResponseError("STALE the token"))) == "the token"
    assert type(of(ResponseError("NOGROUP no"))) is ResponseError
    assert type(of(ResponseError("QUORUM asks for more"))) is errors.InvalidArgument
    assert errors.not_for_us(of(ResponseError("unknown command 'MODQ.MEXTEND', with args")))
    assert errors.passes(ResponseError("MASTERDOWN Link")) and not errors.passes(of(ResponseError("NOITEM x")))


@pytest.mark.parametrize(
    ("key", "heard"),
    [
        (b"review", b"modq:{review}:alice"),
        (b"{eu}:review", b"modq:{eu}:review:alice"),
        (b"review{7}", b"modq:review{7}:alice"),
        (b"a}b", b"modq:{20658}:a}b:alice"),
    ],
)
def test_channels(key: bytes, heard: bytes) -> None:
    assert _keys.channel(key, "alice") == heard


def test_shards() -> None:
    assert _keys.shard_key(b"review", 3) == b"review:{3}"
    assert _keys.shard_of("post:1", 8) == _keys.shard_of(b"post:1", 8) == 10484 % 8


async def test_a_batch_over_shards_answers_in_its_order() -> None:
    """A shard here only tells what it was asked."""

    class Told:
        def __init__(self, number: int) -> None:
            self.number = number

        async def submit_many(self, items: Any, **options: Any) -> list[Any]:
            assert options == {"priority": 3}
            return [f"{self.number}:{item}" for item, _ in items]

    from modq import asyncio as aio

    sharded: Any = aio.ShardedQueue(redis.asyncio.Redis(), "q", shards=3)
    sharded.shards = [Told(i) for i in range(3)]
    items = [f"post:{i}" for i in range(20)]
    answers = await sharded.submit_many([(item, b"") for item in items], priority=3)
    assert answers == [f"{_keys.shard_of(item, 3)}:{item}" for item in items]
