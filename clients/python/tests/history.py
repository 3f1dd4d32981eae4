"""What happened to a queue, by its own event stream: who held which item, and who decided it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import redis


def switch_on(client: redis.Redis, queue: str) -> str:
    """Has everything that happens to the queue written down; call it before the first item."""
    client.execute_command("MODQ.CONFIGURE", queue, "EVENTS", f"{queue}:events", "EVENTSMAXLEN", 0, "MAXEXPIRIES", 0)
    return f"{queue}:events"


@dataclass
class History:
    submitted: set[str] = field(default_factory=set)
    #: How often each item was decided.
    decided: Counter[str] = field(default_factory=Counter)
    #: Whose votes did not end an item, in their order.
    voters: dict[str, list[str]] = field(default_factory=dict)
    expired: int = 0
    released: int = 0


def read(client: redis.Redis, stream: str) -> History:
    """Checks while reading that only who holds an item by a live lock decides it."""
    history = History()
    holders: dict[str, tuple[str, str]] = {}
    for _, raw in client.xrange(stream):
        event = {key.decode(): value.decode() for key, value in raw.items()}
        follow(history, holders, event)
    return history


def follow(history: History, holders: dict[str, tuple[str, str]], event: dict[str, Any]) -> None:
    item, kind = event["item"], event["ev"]
    who = (event.get("moderator", ""), event.get("token", ""))
    if kind == "submit":
        history.submitted.add(item)
    elif kind in ("claim", "assign"):
        assert item not in holders, f"{item} was locked twice"
        holders[item] = who
    elif kind == "resolve":
        assert holders.pop(item, None) == who, f"{item} was decided by who did not hold it: {event}"
        history.decided[item] += 1
    elif kind in ("vote", "split"):
        assert holders.pop(item, None) == who, f"{item} was voted on by who did not hold it: {event}"
        assert event["moderator"] not in history.voters.setdefault(item, [])
        history.voters[item].append(event["moderator"])
    elif kind in ("release", "expire", "dead", "undo"):
        assert holders.pop(item, None) == who
        history.expired += kind in ("expire", "dead")
        history.released += kind == "release"


def each_decided_once(client: redis.Redis, stream: str, items: int) -> History:
    history = read(client, stream)
    assert len(history.submitted) == items
    assert history.decided == Counter(dict.fromkeys(history.submitted, 1))
    return history
