# Written by scripts/sync.py from modq/asyncio/sharded.py: change that.
"""One logical queue over several keys, so that a cluster shares the work: what producers and supervisors do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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

    def close(self) -> None:
        """Closes the connections made beside yours, if any."""
        for queue in self.shards:
            queue.close()

    def submit(self, item: Text, payload: P, **options: Unpack[SubmitOptions]) -> SubmitStatus:
        """MODQ.SUBMIT to the item's shard; the keywords are those of ``Queue.submit``."""
        return self.shard_of(item).submit(item, payload, **options)

    def submit_many(
        self, items: Iterable[tuple[Text, P]], **options: Unpack[SubmitOptions]
    ) -> list[SubmitStatus | ResponseError]:
        """MODQ.MSUBMIT, one for each shard that is concerned; the answers in the order of the items."""
        pairs = list(items)
        answers: list[Any] = [None] * len(pairs)
        for shard in self.shards:
            places = [i for i, (item, _) in enumerate(pairs) if self.shard_of(item) is shard]
            if places:
                replies = shard.submit_many([pairs[i] for i in places], **options)
                for i, reply in zip(places, replies, strict=True):
                    answers[i] = reply
        return answers

    def cancel(self, item: Text, *, rev: int | None = None, reason: Text | None = None, by: Text | None = None) -> bool:
        """MODQ.CANCEL."""
        return self.shard_of(item).cancel(item, rev=rev, reason=reason, by=by)

    def get(self, item: Text) -> Item | None:
        """MODQ.GET."""
        return self.shard_of(item).get(item)

    def len(self, state: State | None = None) -> Length:
        """How many items, over all shards: counted one after the other, not at one moment."""
        total = 0
        for queue in self.shards:
            total += queue.len(state)
        return total

    def scan(self, state: State, *, count: int | None = None) -> Iterator[Row]:
        """The items in one state, shard by shard."""
        for queue in self.shards:
            for row in queue.scan(state, count=count):
                yield row

    def configure(self, **settings: Any) -> None:
        """MODQ.CONFIGURE of every shard; ``maxlen`` and ``capacity`` are each shard's own. In a cluster ``events`` must be
        in the shard's slot: set it on each of ``shards``."""
        for queue in self.shards:
            queue.configure(**settings)

    def pause(self, side: Side | None = None) -> None:
        """MODQ.PAUSE of every shard."""
        for queue in self.shards:
            queue.pause(side)

    def unpause(self, side: Side | None = None) -> None:
        """MODQ.UNPAUSE of every shard."""
        for queue in self.shards:
            queue.unpause(side)
