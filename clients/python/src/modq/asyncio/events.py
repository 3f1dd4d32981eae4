"""Reads the audit stream of queues: as one of a consumer group, or from a checkpoint on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from redis.exceptions import ResponseError

from .. import events
from .._wire import Command, Duration, Text, ms, raw, seconds
from ..events import Event, Fold
from .link import BLOCK, Client, Link


class EventLog:
    """The event stream that ``queue.configure(events=…)`` names.

    ``read`` shares the events among the consumers of a group: each goes to one of them, and again to another if it is not
    acknowledged within ``idle``. ``replay`` is for one reader that keeps its own checkpoint, as ``modq.Fold`` does.
    """

    def __init__(self, client: Client, stream: Text) -> None:
        self.key = raw(stream)
        self.link = Link(client)

    async def close(self) -> None:
        """Closes the connections this object made, never yours."""
        await self.link.close()

    async def create_group(self, group: Text, *, start: str = "0") -> bool:
        """XGROUP CREATE from ``start`` ("0": all there is, "$": from now on); False if there is such a group."""
        command: Command[Any] = Command(
            ["XGROUP", "CREATE", self.key, raw(group), start, "MKSTREAM"], lambda reply: reply, keys=(self.key,)
        )
        try:
            await self.link.run(command)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
            return False
        return True

    async def read(
        self, group: Text, consumer: Text, *, count: int = 100, idle: Duration = 60.0, stop: Any = None
    ) -> AsyncIterator[Event]:
        """Events for this consumer, without end: first what others read and left for ``idle``, then new ones. ``ack`` each
        when its work is done. With ``stop`` (an event) set, it ends within some seconds."""
        while stop is None or not stop.is_set():
            found = await self.abandoned(group, consumer, count=count, idle=idle)
            if not found:
                found = await self.new(group, consumer, count=count, block=min(BLOCK, max(seconds(idle), 0.05)))
            for one in found:
                yield one

    async def new(self, group: Text, consumer: Text, *, count: int = 100, block: Duration | None = None) -> list[Event]:
        """XREADGROUP: the next events that nobody in the group has read."""
        args: list[Any] = ["XREADGROUP", "GROUP", raw(group), raw(consumer), "COUNT", count]
        return await self._entries(args, ">", block)

    async def pending(self, group: Text, consumer: Text, *, count: int = 100, after: str = "0") -> list[Event]:
        """What this consumer has read and not acknowledged: after a restart under the same name, begin with it."""
        args: list[Any] = ["XREADGROUP", "GROUP", raw(group), raw(consumer), "COUNT", count]
        return await self._entries(args, after, None)

    async def abandoned(self, group: Text, consumer: Text, *, count: int = 100, idle: Duration = 60.0) -> list[Event]:
        """XAUTOCLAIM: takes over what others have read and not acknowledged for ``idle``."""
        found: list[Event] = []
        cursor: Any = "0-0"
        while len(found) < count:
            args = ["XAUTOCLAIM", self.key, raw(group), raw(consumer), ms(idle), cursor, "COUNT", count - len(found)]
            reply = await self.link.run(Command(args, lambda reply: reply, keys=(self.key,), again=False))
            found += [made for made in (entry(one, True) for one in reply[1]) if made is not None]
            cursor = reply[0]
            if cursor in (b"0-0", "0-0"):
                break
        return found

    async def ack(self, group: Text, *events: Event) -> int:
        """XACK: how many were still to be acknowledged."""
        ids = [one.id for one in events]
        return await self.link.run(Command(["XACK", self.key, raw(group), *ids], int, keys=(self.key,))) if ids else 0

    async def replay(self, *, after: str = "0-0", count: int = 1000) -> AsyncIterator[Event]:
        """All events behind ``after`` that there are now, in order. To go on later, call it again with the last id."""
        while events := await self.page(after=after, count=count):
            for one in events:
                after = one.id
                yield one

    async def follow(self, *, after: str = "0-0", count: int = 1000, stop: Any = None) -> AsyncIterator[Event]:
        """As ``replay``, and then what comes, without end. With ``stop`` (an event) set, it ends within some seconds."""
        while stop is None or not stop.is_set():
            for one in await self.page(after=after, count=count, block=BLOCK):
                after = one.id
                yield one

    async def fold(self, state: Fold | None = None) -> Fold:
        """The state of all items, by all events there are behind the checkpoint of ``state``, which is changed."""
        state = Fold() if state is None else state
        async for one in self.replay(after=state.checkpoint):
            state.apply(one)
        return state

    async def page(self, *, after: str = "0-0", count: int = 1000, block: Duration | None = None) -> list[Event]:
        """XREAD: the next events behind ``after``; ``block`` waits for some, 5 seconds at most."""
        return await self._entries(["XREAD", "COUNT", count], after, block)

    async def _entries(self, args: list[Any], start: str, block: Duration | None) -> list[Event]:
        if block is not None:
            args += ("BLOCK", min(ms(block), ms(BLOCK)))
        args += ("STREAMS", self.key, start)
        command: Command[list[Event]] = Command(args, entries, keys=(self.key,), again=args[0] == "XREAD")
        return await (self.link.run(command) if block is None else self.link.wait(command, self.key))


def entries(reply: Any) -> list[Event]:
    """The entries of one stream, in RESP2's or RESP3's form, as redis-py gives them."""
    if not reply:
        return []
    streams = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    if isinstance(reply, dict) and len(streams) == 1 and isinstance(streams[0], list):
        streams = streams[0]
    return [made for made in (entry(one, False) for one in streams) if made is not None]


def entry(one: Any, again: bool) -> Event | None:
    """None for an entry that is not there any more."""
    entry_id, raw_fields = one if one is not None else (None, None)
    if not raw_fields:
        return None
    if not isinstance(raw_fields, dict):
        words: Iterable[Any] = iter(raw_fields)
        raw_fields = dict(zip(words, words, strict=True))
    return events.event(entry_id, raw_fields, again)
