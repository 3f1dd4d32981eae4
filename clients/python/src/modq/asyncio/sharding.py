"""Workers over all shards of a queue, in fair turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .. import _modq as modq
from .._crew import Events, Options, WorkOptions
from .._wire import Text, ms
from ..codec import Codec
from .held import WorkClaim
from .link import BLOCK, Client, Line
from .queue import Commands
from .sharded import Shards
from .worker import Crew, Handler, Slot, Worker, work

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = TypeVar("P")

#: In a cluster a slot waits at one shard after the other, this many seconds at each.
TURN = 0.5


class ShardedCrew(Crew[P]):
    """Each slot begins with another shard and goes on with the next behind the one that had something.

    On one server a slot waits at all shards at once (MCLAIM). In a cluster they lie in different slots: it asks all of them,
    and if none has anything waits at one, then asks again. So with as many slots as shards an item is taken at once, with
    fewer it may wait for up to ``TURN`` times shards.
    """

    def __init__(self, sharded: Shards[P], options: Options, events: Events) -> None:
        self.sharded = sharded
        self.turns = [number % len(sharded.shards) for number in range(options.concurrency)]
        self._waiting: dict[tuple[int, int], Line] = {}
        super().__init__(sharded.shards[0], options, events)

    def queues(self) -> list[Commands[P]]:
        return [*self.sharded.shards]

    def lines(self) -> list[Line]:
        return [*super().lines(), *self._waiting.values()]

    def waiting(self, slot: Slot[P], shard: int) -> Line:
        """The slot's own connection that waits at a shard."""
        at = (slot.number, shard)
        if at not in self._waiting:
            queue = self.sharded.shards[shard]
            self._waiting[at] = Line(queue.link.client, queue.key, BLOCK + 2, 1)
        return self._waiting[at]

    async def ask(self, slot: Slot[P]) -> WorkClaim[P] | None:
        if self.sharded.link.cluster:
            return await self._ask_each(slot)
        return await self._ask_all(slot)

    def in_turn(self, slot: Slot[P]) -> list[int]:
        first, n = self.turns[slot.number], len(self.sharded.shards)
        return [(first + i) % n for i in range(n)]

    def took(self, slot: Slot[P], shard: int) -> None:
        self.turns[slot.number] = (shard + 1) % len(self.sharded.shards)

    async def _ask_all(self, slot: Slot[P]) -> WorkClaim[P] | None:
        keys = [self.sharded.shards[shard].key for shard in self.in_turn(slot)]
        found = await slot.line.run(modq.mclaim(keys, slot.moderator, self._ask, ms(BLOCK)))
        if found is None:
            return None
        shard = next(i for i, queue in enumerate(self.sharded.shards) if queue.name == found[0])
        self.took(slot, shard)
        queue = self.sharded.shards[shard]
        return WorkClaim(queue, found[1][0], slot.moderator, self.heart, self.line(queue))

    async def _ask_each(self, slot: Slot[P]) -> WorkClaim[P] | None:
        shards = self.in_turn(slot)
        for shard in shards:
            claim = await self._ask_one(slot, shard, None)
            if claim is not None:
                return claim
        claim = await self._ask_one(slot, shards[0], ms(TURN))
        self.took(slot, shards[0])
        return claim

    async def _ask_one(self, slot: Slot[P], shard: int, block_ms: int | None) -> WorkClaim[P] | None:
        queue = self.sharded.shards[shard]
        slot.line = self.waiting(slot, shard)
        locks = await slot.line.run(modq.claim(queue.key, slot.moderator, self._ask, block_ms))
        if not locks:
            return None
        self.took(slot, shard)
        return WorkClaim(queue, locks[0], slot.moderator, self.heart, self.line(queue))


class ShardedQueue(Shards[P]):
    __doc__ = Shards.__doc__

    if TYPE_CHECKING:

        @overload
        def __init__(self: ShardedQueue[bytes], client: Client, name: Text, *, shards: int) -> None: ...
        @overload
        def __init__(self, client: Client, name: Text, *, shards: int, codec: Codec[P]) -> None: ...
        def __init__(self, client: Client, name: Text, *, shards: int, codec: Any = None) -> None: ...

    def crew(self, options: Options, events: Events) -> ShardedCrew[P]:
        return ShardedCrew(self, options, events)

    def work(self, moderator: Text, **options: Unpack[WorkOptions]) -> AsyncGenerator[WorkClaim[P], None]:
        """As ``Queue.work``, over all shards in fair turns."""
        return work(self.crew(Options(moderator, **options), Events()))

    def worker(self, handler: Handler[P], moderator: Text, **options: Unpack[WorkOptions]) -> Worker[P]:
        """As ``Queue.worker``, over all shards in fair turns."""
        return Worker(self, handler, moderator, **options)
