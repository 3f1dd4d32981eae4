"""The audit stream of queues: its events, and the fold of events to the state of items. Pure, shared by both sides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import Any

from ._wire import moment, text

_NUMBERS = frozenset(
    (
        *("rev", "at", "priority", "boost", "submitted", "due", "reports", "deliveries", "expiries"),
        *("token", "deadline", "contested"),
    )
)
_LISTS = frozenset(("tags", "excluded", "votes", "quorum", "deciders"))
#: What tells of an event, and not of what its item is afterwards.
_NO_STATE = frozenset(("ev", "key", "item", "at", "verdict", "decision", "reason", "by", "via"))
_LOCK = ("moderator", "token", "deadline")
_COUNTED = {
    "submit": "submitted",
    "resolve": "resolved",
    "cancel": "cancelled",
    "release": "released",
    "expire": "expired",
    "vote": "votes",
}


@dataclass(frozen=True)
class Event:
    """One transition. ``fields`` has all that the entry says, numbers as int and lists as lists."""

    id: str
    ev: str
    key: str
    item: str
    fields: dict[str, Any]
    #: From XAUTOCLAIM: somebody read it before and did not acknowledge it.
    again: bool = False

    @property
    def at(self) -> datetime:
        return moment(self.fields["at"])

    @property
    def at_ms(self) -> int:
        return int(self.fields["at"])


def value_of(name: str, raw: Any) -> Any:
    if name in _NUMBERS:
        return int(raw)
    if name in _LISTS:
        return json.loads(text(raw))
    return text(raw)


def event(entry_id: Any, raw: Mapping[Any, Any], again: bool = False) -> Event:
    fields = {text(name): value_of(text(name), value) for name, value in raw.items()}
    return Event(text(entry_id), fields["ev"], fields["key"], fields.get("item", ""), fields, again)


@dataclass
class Fold:
    """What the events of one or several queues come to: the state of every item and the totals, and up to where.

    Feed it each event once, in order. ``checkpoint`` is the id of the last one: keep it with what you made of the fold
    (``dump``, ``load``), and read on behind it. Events up to it are passed over, so a crash between the two counts nothing
    twice. Entries that the stream trimmed before they were read are missing: ``items`` has then what is known.

    ``remember`` is how many decisions of each queue to keep in ``records``, the earliest goes first; 0, the default: none.
    No event tells that the server forgets one in time (``retain``).
    """

    #: By queue, then item: the fields told so far.
    items: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    #: By queue: as MODQ.STATS counts them.
    totals: dict[str, Counter[str]] = field(default_factory=dict)
    checkpoint: str = "0-0"
    #: By queue, then item: verdict, decided, token, rev, submitted, reports and moderators of the last decision, the
    #: earliest first.
    records: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    remember: int = 0

    def apply(self, one: Event) -> bool:
        """Takes in an event; False if it was taken in before."""
        if order(one.id) <= order(self.checkpoint):
            return False
        self.checkpoint = one.id
        items = self.items.setdefault(one.key, {})
        totals = self.totals.setdefault(one.key, Counter())
        count(totals, one)
        if one.ev == "resolve" and self.remember > 0:
            self._decided(one, items.get(one.item, {}))
        if one.ev in ("resolve", "cancel", "move_out"):
            items.pop(one.item, None)
        elif one.ev == "report":
            known = self.records.get(one.key, {}).get(one.item)
            if known is not None:
                known["reports"] = one.fields["reports"]
        elif one.ev == "forget":
            self.records.get(one.key, {}).pop(one.item, None)
        else:
            if one.ev in ("submit", "move_in"):
                items[one.item] = {}
            change(items.setdefault(one.item, {}), one)
        return True

    def apply_all(self, events: Iterable[Event]) -> None:
        for one in events:
            self.apply(one)

    def _decided(self, one: Event, item: dict[str, Any]) -> None:
        records = self.records.setdefault(one.key, {})
        records.pop(one.item, None)
        records[one.item] = record(one, item)
        while len(records) > self.remember:
            del records[next(iter(records))]

    def dump(self) -> str:
        """Everything, as JSON."""
        return json.dumps({field.name: getattr(self, field.name) for field in dataclass_fields(self)})

    @classmethod
    def load(cls, dumped: str) -> Fold:
        held = json.loads(dumped)
        totals = {key: Counter(counts) for key, counts in held.pop("totals").items()}
        return cls(totals=totals, **held)


def count(totals: Counter[str], one: Event) -> None:
    if one.ev == "dead":
        totals.update(("expired", "died"))
    elif one.ev == "split":
        # By a verdict, or because UPDATE asks for more equal ones than there can be.
        totals.update(("votes", "splits") if "verdict" in one.fields else ("splits",))
    elif one.ev in _COUNTED:
        totals[_COUNTED[one.ev]] += 1


def record(one: Event, item: dict[str, Any]) -> dict[str, Any]:
    """What is remembered of the item that this event ended."""
    who = one.fields.get("moderator")
    voters = [vote[0] for vote in item.get("votes", ()) if vote[0] != who]
    return {
        "verdict": one.fields.get("verdict", ""),
        "decided": one.at_ms,
        "token": one.fields.get("token"),
        "rev": one.fields.get("rev"),
        "submitted": item.get("submitted"),
        "reports": item.get("reports"),
        "moderators": [*voters, who],
    }


def change(item: dict[str, Any], one: Event) -> None:
    """Lays what an event says over what is known of an item."""
    known = item.get("excluded")
    item.update({name: value for name, value in one.fields.items() if name not in _NO_STATE})
    if one.ev in ("vote", "split") and "verdict" in one.fields:
        vote = [one.fields["moderator"], one.fields["verdict"], one.at_ms]
        item["votes"] = [*item.get("votes", []), vote]
    if one.ev == "split":
        item["contested"] = 1
    if one.ev == "release" and "excluded" in one.fields:
        # Of a release it is only who skipped, to be added to the end.
        skipped = [name for name in one.fields["excluded"] if name not in (known or [])]
        item["excluded"] = [*(known or []), *skipped]
    if item.get("state") != "locked":
        for name in _LOCK:
            item.pop(name, None)


def order(entry_id: str) -> tuple[int, int]:
    """Ids in the order of the stream."""
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq or 0)
