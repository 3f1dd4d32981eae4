"""A moderation queue: every MODQ command as a method, with named fields in and out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar, overload

from redis.exceptions import ResponseError

from .. import _modq as modq
from .._wire import Duration, Text, moment, pieces, raw, text
from ..codec import BYTES, Codec
from ..errors import NoItem, PayloadError, is_lost
from ..types import (
    Cancelled,
    GroupRow,
    Item,
    Lock,
    OnDecided,
    OnDup,
    Record,
    Resolved,
    Row,
    Settings,
    Side,
    State,
    Stats,
    SubmitStatus,
    Waiter,
)
from .link import BLOCK, Client, Link

P = TypeVar("P")
List = list  # `list` and `len` are methods below


class Claim(Generic[P]):
    """An item locked for a moderator. ``token`` is the fencing token; each is larger than all before it in this queue."""

    def __init__(self, queue: Commands[P], lock: Lock, moderator: Text) -> None:
        self.queue = queue
        self.lock = lock
        self.moderator = text(moderator)
        self.item = lock.item
        self.token = lock.token
        self.priority = lock.priority
        self.deliveries = lock.deliveries
        self.rev = lock.rev
        self._deadline_ms = lock.deadline_ms

    def __repr__(self) -> str:
        return f"<Claim {self.item!r} of {self.queue.name!r} for {self.moderator!r}, token {self.token}>"

    @property
    def raw(self) -> bytes:
        """The payload as it came."""
        return self.lock.raw

    @property
    def payload(self) -> P:
        """The payload by the queue's codec; ``PayloadError`` if it cannot be read."""
        return self.queue.decode(self.lock.raw)

    @property
    def submitted(self) -> datetime:
        return self.lock.submitted

    @property
    def deadline(self) -> datetime:
        """When the lock ends, by the server's clock; ``extend`` moves it."""
        return moment(self._deadline_ms)

    async def resolve(
        self,
        verdict: Text | None = None,
        *,
        decision: Text | None = None,
        check_rev: bool = False,
        also: int | None = None,
        also_tags: Iterable[Text] | None = None,
        cursor: str | None = None,
    ) -> Resolved:
        """Decides the item. ``check_rev``: only if it has not changed since it was claimed (``Changed``)."""
        return await self.queue.resolve(
            self.item,
            self.token,
            rev=self.rev if check_rev else None,
            verdict=verdict,
            decision=decision,
            also=also,
            also_tags=also_tags,
            cursor=cursor,
        )

    async def release(self, *, skip: bool = False, delay: Duration | None = None) -> None:
        """Gives the item back to its place; with ``skip`` never again to this moderator."""
        await self.queue.release(self.item, self.token, skip=skip, delay=delay)

    async def extend(self, lock: Duration) -> datetime:
        """Sets the deadline to ``lock`` from now."""
        deadline = await self.queue.link.run(modq.extend(self.queue.key, self.item, self.token, lock))
        self._deadline_ms = deadline
        return moment(deadline)

    async def move(self, destination: Commands[Any], *, priority: int | None = None, by: Text | None = None) -> None:
        """To another queue (escalation); the lock ends."""
        await self.queue.move(self.item, destination, token=self.token, priority=priority, by=by)


# ``Queue`` is this with what workers need; each side has its own of that.
class Commands(Generic[P]):
    """One moderation queue: one key.

    ``client`` is yours: it is used as it is, never changed and never closed. ``codec`` says how payloads become bytes:
    ``modq.BYTES`` (default), ``modq.TEXT``, ``modq.JSON`` or your own. Durations are ``timedelta`` or seconds; times come
    as aware ``datetime`` in UTC.
    """

    @overload
    def __init__(self: Commands[bytes], client: Client, name: Text) -> None: ...
    @overload
    def __init__(self, client: Client, name: Text, *, codec: Codec[P]) -> None: ...
    def __init__(self, client: Client, name: Text, *, codec: Any = BYTES) -> None:
        self.key = raw(name)
        self.name = text(name)
        self.codec: Codec[P] = codec
        self.link = Link(client)

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    async def __aenter__(self) -> Commands[P]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections this object made beside yours, if any."""
        await self.link.close()

    def decode(self, data: bytes) -> P:
        try:
            return self.codec.decode(data)
        except Exception as error:
            raise PayloadError(f"the codec cannot read this payload: {error}") from error

    # ---- Producers

    async def submit(
        self,
        item: Text,
        payload: P,
        *,
        priority: int | None = None,
        boost: Duration | None = None,
        delay: Duration | None = None,
        tags: Iterable[Text] | None = None,
        exclude: Iterable[Text] | None = None,
        ondup: OnDup | None = None,
        step: int | None = None,
        quorum: tuple[int, int] | None = None,
        group: Text | None = None,
        ondecided: OnDecided | None = None,
    ) -> SubmitStatus:
        """MODQ.SUBMIT. Sent again it answers EXISTS and changes nothing, unless ``ondup`` says otherwise."""
        options = modq.submit_options(
            priority=priority,
            boost=boost,
            delay=delay,
            tags=tags,
            exclude=exclude,
            ondup=ondup,
            step=step,
            quorum=quorum,
            group=group,
            ondecided=ondecided,
        )
        return await self.link.run(modq.submit(self.key, item, self.codec.encode(payload), options))

    async def submit_many(
        self,
        items: Iterable[tuple[Text, P]],
        *,
        priority: int | None = None,
        boost: Duration | None = None,
        delay: Duration | None = None,
        tags: Iterable[Text] | None = None,
        exclude: Iterable[Text] | None = None,
        ondup: OnDup | None = None,
        step: int | None = None,
        quorum: tuple[int, int] | None = None,
        group: Text | None = None,
        ondecided: OnDecided | None = None,
    ) -> List[SubmitStatus | ResponseError]:
        """MODQ.MSUBMIT: up to 1000 items, the options for each; a status, or the error, in each one's place."""
        options = modq.submit_options(
            priority=priority,
            boost=boost,
            delay=delay,
            tags=tags,
            exclude=exclude,
            ondup=ondup,
            step=step,
            quorum=quorum,
            group=group,
            ondecided=ondecided,
        )
        pairs = [(item, self.codec.encode(payload)) for item, payload in items]
        if not pairs:
            return []
        return await self.link.run(modq.msubmit(self.key, pairs, options))

    async def cancel(
        self, item: Text, *, rev: int | None = None, reason: Text | None = None, by: Text | None = None
    ) -> bool:
        """MODQ.CANCEL: whether it was removed; with ``rev`` only if it is still at that revision."""
        return await self.link.run(modq.cancel(self.key, item, rev, reason, by))

    async def update(
        self,
        item: Text,
        *,
        rev: int | None = None,
        priority: int | None = None,
        boost: Duration | None = None,
        payload: P | None = None,
        tags: Iterable[Text] | None = None,
        exclude: Iterable[Text] | None = None,
        quorum: tuple[int, int] | None = None,
        group: Text | None = None,
        reports: int | None = None,
        by: Text | None = None,
    ) -> int | None:
        """MODQ.UPDATE: the new revision, or None if ``rev`` is not the item's. Empty tags and exclude clear.

        A ``payload`` of None is not given: to store what the codec makes of None, submit with ``ondup="replace"``.
        """
        command = modq.update(
            self.key,
            item,
            rev=rev,
            priority=priority,
            boost=boost,
            payload=None if payload is None else self.codec.encode(payload),
            tags=tags,
            exclude=exclude,
            quorum=quorum,
            group=group,
            reports=reports,
            by=by,
        )
        return await self.link.run(command)

    # ---- Moderators

    async def claim(
        self,
        moderator: Text,
        *,
        count: int | None = None,
        lock: Duration | None = None,
        block: Duration | None = None,
        tags: Iterable[Text] | None = None,
        new: bool = False,
        withgroup: bool = False,
    ) -> List[Claim[P]]:
        """MODQ.CLAIM: what the moderator holds and then new items, up to ``count``; empty if there are none.

        ``block`` waits that long, 0 for ever, on a connection of its own, in pieces of a few seconds.
        """
        options = modq.claim_options(count=count, lock=lock, tags=tags, new=new, withgroup=withgroup)
        if block is None:
            locks = await self.link.run(modq.claim(self.key, moderator, options))
        else:
            locks = []
            for piece in pieces(block, BLOCK):
                locks = await self.link.wait(modq.claim(self.key, moderator, options, piece), self.key)
                if locks:
                    break
        return [Claim(self, lock_, moderator) for lock_ in locks]

    async def mclaim(
        self,
        others: Sequence[Commands[P]],
        moderator: Text,
        *,
        count: int | None = None,
        lock: Duration | None = None,
        block: Duration | None = None,
        tags: Iterable[Text] | None = None,
        new: bool = False,
        withgroup: bool = False,
    ) -> List[Claim[P]]:
        """MODQ.MCLAIM on this queue and then the others; each claim's ``queue`` says where it is from."""
        options = modq.claim_options(count=count, lock=lock, tags=tags, new=new, withgroup=withgroup)
        queues = {queue.name: queue for queue in (self, *others)}
        keys = [queue.key for queue in queues.values()]
        found = None
        if block is None:
            found = await self.link.run(modq.mclaim(keys, moderator, options))
        else:
            for piece in pieces(block, BLOCK):
                found = await self.link.wait(modq.mclaim(keys, moderator, options, piece), self.key)
                if found is not None:
                    break
        return [] if found is None else [Claim(queues[found[0]], lock_, moderator) for lock_ in found[1]]

    async def resolve(
        self,
        item: Text,
        token: int,
        *,
        rev: int | None = None,
        verdict: Text | None = None,
        decision: Text | None = None,
        also: int | None = None,
        also_tags: Iterable[Text] | None = None,
        cursor: str | None = None,
    ) -> Resolved:
        """MODQ.RESOLVE. If the reply is lost it is sent once more, and ``confirmed`` says whether the answer is sure."""
        command = modq.resolve(
            self.key,
            item,
            token,
            rev=rev,
            verdict=verdict,
            decision=decision,
            also=also,
            also_tags=also_tags,
            cursor=cursor,
        )
        try:
            return await self.link.run(command)
        except Exception as error:
            if not is_lost(error):
                raise
        try:
            return await self.link.run(command)
        except NoItem:
            return Resolved("OK", confirmed=False)

    async def resolve_many(
        self,
        items: Sequence[tuple[Text, int]],
        *,
        revs: Sequence[int] | None = None,
        verdict: Text | None = None,
        decision: Text | None = None,
    ) -> List[Resolved | ResponseError]:
        """MODQ.MRESOLVE of pairs of item and token: what became of each, or the error, in its place."""
        return await self.link.run(modq.mresolve(self.key, items, revs, verdict, decision)) if items else []

    async def release(self, item: Text, token: int, *, skip: bool = False, delay: Duration | None = None) -> None:
        """MODQ.RELEASE: back to its own place."""
        await self.link.run(modq.release(self.key, item, token, skip, delay))

    async def extend(self, item: Text, token: int, lock: Duration) -> datetime:
        """MODQ.EXTEND: the new deadline, ``lock`` from now."""
        return moment(await self.link.run(modq.extend(self.key, item, token, lock)))

    async def extend_many(self, items: Sequence[tuple[Text, int]], lock: Duration) -> List[datetime | ResponseError]:
        """MODQ.MEXTEND of pairs of item and token: a deadline, or the error, for each."""
        answers = await self.link.run(modq.mextend(self.key, items, lock)) if items else []
        return [one if isinstance(one, ResponseError) else moment(one) for one in answers]

    async def join(
        self,
        moderator: Text,
        *,
        ttl: Duration | None = None,
        count: int | None = None,
        tags: Iterable[Text] | None = None,
    ) -> Literal["WAITING", "ASSIGNED"]:
        """MODQ.JOIN: in line for ``ttl`` (default 30 s) without a connection; repeated it is the heartbeat."""
        answer = await self.link.run(modq.join(self.key, moderator, ttl, count, tags))
        return "ASSIGNED" if answer == "ASSIGNED" else "WAITING"

    async def leave(self, moderator: Text, *, release: bool = False) -> bool:
        """MODQ.LEAVE: whether they were in line; with ``release`` their locks end too."""
        return await self.link.run(modq.leave(self.key, moderator, release))

    # ---- Supervisors

    async def move(
        self,
        item: Text,
        destination: Commands[Any],
        *,
        token: int | None = None,
        priority: int | None = None,
        by: Text | None = None,
    ) -> None:
        """MODQ.MOVE to another queue; a locked item needs its token."""
        await self.link.run(modq.move(self.key, destination.key, item, token, priority, by))

    async def assign(
        self,
        item: Text,
        moderator: Text,
        *,
        lock: Duration | None = None,
        token: int | None = None,
        by: Text | None = None,
    ) -> int:
        """MODQ.ASSIGN: locks the item for a named person; the token. ``token`` hands a locked one over."""
        return await self.link.run(modq.assign(self.key, item, moderator, lock, token, by))

    async def pause(self, side: Side | None = None) -> None:
        """MODQ.PAUSE: ``"in"`` refuses submits, ``"out"`` hands out nothing; default both."""
        await self.link.run(modq.pause(self.key, side))

    async def unpause(self, side: Side | None = None) -> None:
        """MODQ.UNPAUSE."""
        await self.link.run(modq.unpause(self.key, side))

    async def revive(self, *items: Text, by: Text | None = None) -> int:
        """MODQ.REVIVE of the dead items named: how many are ready again."""
        return await self.link.run(modq.revive(self.key, items, by)) if items else 0

    async def revive_all(self, *, count: int | None = None, by: Text | None = None) -> int:
        """MODQ.REVIVE … ALL: up to ``count`` (default and most 1000) dead items are ready again; how many."""
        return await self.link.run(modq.revive_all(self.key, count, by))

    async def configure(
        self,
        *,
        lock: Duration | None = None,
        maxexpiries: int | None = None,
        maxlen: int | None = None,
        capacity: int | None = None,
        late: Literal["accept", "reject"] | None = None,
        aging: Duration | None = None,
        events: Text | None = None,
        eventsmaxlen: int | None = None,
        quorum: tuple[int, int] | None = None,
        splittag: Text | None = None,
        retain: Duration | None = None,
        retainmax: int | None = None,
    ) -> None:
        """MODQ.CONFIGURE: sets what is given."""
        command = modq.configure(
            self.key,
            lock=lock,
            maxexpiries=maxexpiries,
            maxlen=maxlen,
            capacity=capacity,
            late=late,
            aging=aging,
            events=events,
            eventsmaxlen=eventsmaxlen,
            quorum=quorum,
            splittag=splittag,
            retain=retain,
            retainmax=retainmax,
        )
        await self.link.run(command)

    async def forget(self, *items: Text, by: Text | None = None) -> int:
        """MODQ.FORGET: how many records of decided items were dropped."""
        return await self.link.run(modq.forget(self.key, items, by)) if items else 0

    async def cancel_group(
        self,
        group: Text,
        *,
        count: int | None = None,
        cursor: str | None = None,
        except_tags: Iterable[Text] | None = None,
        reason: Text | None = None,
        by: Text | None = None,
    ) -> Cancelled:
        """MODQ.CANCELGROUP: up to 1000 items of a group; go on with ``cursor`` until it is "0"."""
        command = modq.cancel_group(
            self.key, group, count=count, cursor=cursor, except_tags=except_tags, reason=reason, by=by
        )
        return await self.link.run(command)

    # ---- Reading

    async def settings(self) -> Settings:
        """MODQ.CONFIG: how the queue is set up."""
        return await self.link.run(modq.config(self.key))

    async def get(self, item: Text) -> Item | None:
        """MODQ.GET: everything about one item, or None. A payload the codec cannot read is None; ``raw`` has it."""
        found = await self.link.run(modq.get(self.key, item))
        if found is None:
            return None
        try:
            return replace(found, payload=self.decode(found.raw))
        except PayloadError:
            return found

    async def len(self, state: State | None = None) -> int:
        """MODQ.LEN: how many items, in all or in one state."""
        return await self.link.run(modq.length(self.key, state))

    async def peek(
        self, *, count: int | None = None, moderator: Text | None = None, tags: Iterable[Text] | None = None
    ) -> List[str]:
        """MODQ.PEEK: the next ids, in the order they would be claimed (by that moderator)."""
        return await self.link.run(modq.peek(self.key, count, moderator, tags))

    async def position(self, item: Text) -> int | None:
        """MODQ.POSITION: 1 for the next to be claimed, None unless ready."""
        return await self.link.run(modq.position(self.key, item))

    async def list(self, state: State, *, cursor: str = "0", count: int | None = None) -> tuple[str, List[Row]]:
        """MODQ.LIST: the next cursor ("0" at the end) and a page of rows."""
        return await self.link.run(modq.listing(self.key, state, cursor, count))

    async def scan(self, state: State, *, count: int | None = None) -> AsyncIterator[Row]:
        """All pages of ``list``, row by row."""
        cursor = "0"
        while True:
            cursor, rows = await self.list(state, cursor=cursor, count=count)
            for row in rows:
                yield row
            if cursor == "0":
                return

    async def held(self, moderator: Text, *, count: int | None = None) -> List[Claim[P]]:
        """MODQ.HELD: what a moderator holds."""
        return [Claim(self, lock, moderator) for lock in await self.link.run(modq.held(self.key, moderator, count))]

    async def waiters(self, *, count: int | None = None) -> List[Waiter]:
        """MODQ.WAITERS: who is in line, the longest waiting first."""
        return await self.link.run(modq.waiters(self.key, count))

    async def stats(self, *, brief: bool = False) -> Stats:
        """MODQ.STATS; ``brief`` without by_tag and by_priority, in constant time."""
        return await self.link.run(modq.stats(self.key, brief))

    async def why(self, item: Text, moderator: Text, *, tags: Iterable[Text] | None = None) -> List[str] | None:
        """MODQ.WHY: why this item would not go to this moderator now; None if it is not there."""
        return await self.link.run(modq.why(self.key, item, moderator, tags))

    async def decided(self, item: Text) -> Record | None:
        """MODQ.DECIDED: what is remembered of a decided item."""
        return await self.link.run(modq.decided(self.key, item))

    async def group(self, group: Text, *, cursor: str = "0", count: int | None = None) -> tuple[str, List[GroupRow]]:
        """MODQ.GROUP: the next cursor and a page of a group's items, by arrival."""
        return await self.link.run(modq.group(self.key, group, cursor, count))
