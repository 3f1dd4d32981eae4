"""One logical queue over several keys, so that a cluster shares the work: what producers and supervisors do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from redis.exceptions import ResponseError

from .. import _keys
from .._modq import SubmitOptions
from .._wire import Text, raw, text
from ..codec import BYTES, Codec
from ..types import Item, Row, Side, State, SubmitStatus
from .link import Client, Link
from .worker import Queue

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = TypeVar("P")
Length = int


# ``ShardedQueue`` is this with what workers need; each side has its own of that.
class Shards(Generic[P]):
    """One logical queue over several keys. ``review`` with 3 shards is the queues ``review:{0}`` to ``review:{2}``.

    An item's shard follows from its id (CRC-16), so producers agree without asking; all must say the same number of
    shards, and to change it the queue has to be empty. Priority and age order the items of one shard, not of the whole:
    workers take from the shards in turn, so over time no shard waits longer than another. A moderator's CAPACITY, and who is
    in line, and groups, are also each shard's own. Everything that concerns one item is a method of ``shard_of(item)``.
    """

    @overload
    def __init__(self: Shards[bytes], client: Client, name: Text, *, shards: int) -> None: ...
    @overload
    def __init__(self, client: Client, name: Text, *, shards: int, codec: Codec[P]) -> None: ...
    def __init__(self, client: Client, name: Text, *, shards: int, codec: Any = BYTES) -> None:
        if shards < 1:
            raise ValueError("at least one shard")
        self.name = text(name)
        self.shards: list[Queue[P]] = [Queue(client, _keys.shard_key(raw(name), i), codec=codec) for i in range(shards)]
        self.link = Link(client)

    def shard_of(self, item: Text) -> Queue[P]:
        """The queue that has, or would have, this item."""
        return self.shards[_keys.shard_of(item, len(self.shards))]

    async def close(self) -> None:
        """Closes the connections made beside yours, if any."""
        for queue in self.shards:
            await queue.close()

    async def submit(self, item: Text, payload: P, **options: Unpack[SubmitOptions]) -> SubmitStatus:
        """MODQ.SUBMIT to the item's shard; the keywords are those of ``Queue.submit``."""
        return await self.shard_of(item).submit(item, payload, **options)

    async def submit_many(
        self, items: Iterable[tuple[Text, P]], **options: Unpack[SubmitOptions]
    ) -> list[SubmitStatus | ResponseError]:
        """MODQ.MSUBMIT, one for each shard that is concerned; the answers in the order of the items."""
        pairs = list(items)
        answers: list[Any] = [None] * len(pairs)
        for shard in self.shards:
            places = [i for i, (item, _) in enumerate(pairs) if self.shard_of(item) is shard]
            if places:
                replies = await shard.submit_many([pairs[i] for i in places], **options)
                for i, reply in zip(places, replies, strict=True):
                    answers[i] = reply
        return answers

    async def cancel(
        self, item: Text, *, rev: int | None = None, reason: Text | None = None, by: Text | None = None
    ) -> bool:
        """MODQ.CANCEL."""
        return await self.shard_of(item).cancel(item, rev=rev, reason=reason, by=by)

    async def get(self, item: Text) -> Item | None:
        """MODQ.GET."""
        return await self.shard_of(item).get(item)

    async def len(self, state: State | None = None) -> Length:
        """How many items, over all shards: counted one after the other, not at one moment."""
        total = 0
        for queue in self.shards:
            total += await queue.len(state)
        return total

    async def scan(self, state: State, *, count: int | None = None) -> AsyncIterator[Row]:
        """The items in one state, shard by shard."""
        for queue in self.shards:
            async for row in queue.scan(state, count=count):
                yield row

    async def configure(self, **settings: Any) -> None:
        """MODQ.CONFIGURE of every shard; ``maxlen`` and ``capacity`` are each shard's own. In a cluster ``events`` must be
        in the shard's slot: set it on each of ``shards``."""
        for queue in self.shards:
            await queue.configure(**settings)

    async def pause(self, side: Side | None = None) -> None:
        """MODQ.PAUSE of every shard."""
        for queue in self.shards:
            await queue.pause(side)

    async def unpause(self, side: Side | None = None) -> None:
        """MODQ.UNPAUSE of every shard."""
        for queue in self.shards:
            await queue.unpause(side)
