"""The worker: claims, hands out, keeps locks alive, and ends in good order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from .. import _modq as modq
from .._crew import STEP, Event, Events, Options, WorkOptions, check_handler
from .._wire import Command, Duration, Text, backoff, ms, seconds
from ..codec import Codec
from ..errors import LockLost, NotTrusted, passes
from ..types import Lock
from .held import Heart, WorkClaim
from .link import BLOCK, Client, Line
from .queue import Commands
from .timing import done_or_told, to_the_end

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = TypeVar("P")

#: What works on one claim: it resolves, releases or moves it.
Handler = Callable[["WorkClaim[P]"], Awaitable[Any]]


class Slot(Generic[P]):
    """One item in hand at a time: a moderator id, and a connection that waits."""

    def __init__(self, number: int, moderator: bytes, line: Line) -> None:
        self.number = number
        self.moderator = moderator
        self.line = line
        self.task: asyncio.Task[None] | None = None
        self.question: Command[list[Lock]] | None = None
        self.claiming = False
        self.failures = 0
        #: After an error the next claim may be an old lock whose answer was lost: how long it still lasts is unknown.
        self.adopting = False


class Crew(Generic[P]):
    """What a worker is made of: slots, heartbeats, connections, and how they end. Users see ``Worker`` and ``work``."""

    def __init__(self, queue: Commands[P], options: Options, events: Events) -> None:
        self.queue = queue
        options = options.of_this_process()
        self.options = options
        self.events = events
        self.heart: Heart[P] = Heart(options, events)
        self.closing = asyncio.Event()
        #: Set when handlers are no longer to be waited for.
        self.hurry = asyncio.Event()
        self.failure: BaseException | None = None
        self.slots = [self.open_slot(number) for number in range(options.concurrency)]
        self._lines: dict[bytes, Line] = {}
        self._found = False
        self._beating: asyncio.Task[None] | None = None
        self._ask = modq.claim_options(lock=options.lock_duration, tags=options.tags)

    def open_slot(self, number: int) -> Slot[P]:
        line = Line(self.queue.link.client, self.queue.key, BLOCK + 2, 1)
        return Slot(number, self.options.id_of(number), line)

    def line(self, queue: Commands[P]) -> Line:
        """The connections for everything but waiting."""
        if queue.key not in self._lines:
            self._lines[queue.key] = Line(queue.link.client, queue.key, self.options.reply)
        return self._lines[queue.key]

    def queues(self) -> list[Commands[P]]:
        """Where its slots may hold something."""
        return [self.queue]

    def lines(self) -> list[Line]:
        return [*self._lines.values(), *(slot.line for slot in self.slots)]

    def begin(self) -> None:
        self._beating = asyncio.ensure_future(self.heart.beat())

    # ---- Claiming

    async def ask(self, slot: Slot[P]) -> WorkClaim[P] | None:
        """One CLAIM, which waits for some seconds. Whoever holds nothing is given something new, or what an answer that
        was lost had given them."""
        if slot.question is None:
            slot.question = modq.claim(self.queue.key, slot.moderator, self._ask, ms(BLOCK))
        locks = await slot.line.run(slot.question)
        if not locks:
            return None
        return WorkClaim(self.queue, locks[0], slot.moderator, self.heart, self.line(self.queue))

    async def next(self, slot: Slot[P]) -> WorkClaim[P] | None:
        """The next claim; None once the worker closes."""
        while not self.closing.is_set():
            slot.claiming = True
            try:
                claim = await self.ask(slot)
                if claim is not None and (slot.adopting or claim.is_old()):
                    await claim.extend(self.options.lock_duration)
            except Exception as error:
                if not self._go_on(slot, error):
                    return None
                await self._pause(backoff(slot.failures))
                continue
            finally:
                slot.claiming = False
            slot.failures, slot.adopting = 0, False
            if claim is None:
                self._nothing()
                continue
            self._found = True
            self.heart.held.add(claim)
            return claim
        return None

    def _nothing(self) -> None:
        if self._found:
            self._found = False
            self.events.emit("drained")

    def _go_on(self, slot: Slot[P], error: Exception) -> bool:
        """Whether to ask again after an error; if not, the worker ends with it."""
        slot.failures += 1
        slot.adopting = True
        goes_on = passes(error) and not isinstance(error, NotTrusted)
        if not (goes_on or getattr(error, "code", "") in ("STALE", "NOITEM")):
            self.failure = self.failure or error
            self.closing.set()
            return False
        self.events.emit("error", error)
        return True

    async def _pause(self, time: float) -> None:
        try:
            await asyncio.wait_for(self.closing.wait(), time)
        except asyncio.TimeoutError:
            pass

    # ---- The end

    async def end(self, drain: float) -> None:
        """Stop claiming; drain; stop what is left; stop heartbeats; release; close. No step waits for ever."""
        self.closing.set()
        tasks = {slot.task for slot in self.slots if slot.task is not None and not slot.task.done()}
        for slot in self.slots:
            if slot.claiming and slot.task in tasks:
                slot.task.cancel()
        tasks = await done_or_told(tasks, drain, self.hurry)
        for task in tasks:
            task.cancel()
        await self._wait_for(tasks, STEP)
        if self._beating is not None:
            self._beating.cancel()
            await self._wait_for({self._beating}, STEP)
        await self.heart.finish(STEP)
        await self._within(STEP, self._give_back())
        await self._within(STEP, *(line.close() for line in self.lines()))
        self.events.emit("closed")

    async def _give_back(self) -> None:
        """Every lock that is left ends, also those whose answer never came. No queue waits for the node of another."""
        held = [claim for claim in self.heart.held if not claim.over.is_set()]
        try:
            await asyncio.gather(*(self._give_back_to(queue, held) for queue in self.queues()))
        finally:
            for claim in held:
                claim.lose()

    async def _give_back_to(self, queue: Commands[P], held: list[WorkClaim[P]]) -> None:
        mine = [claim for claim in held if claim.queue is queue]
        releases: list[Command[Any]] = [modq.release(queue.key, claim.item, claim.token) for claim in mine]
        goodbyes = [modq.leave(queue.key, slot.moderator, release=True) for slot in self.slots]
        await self.line(queue).run_all([*releases, *goodbyes])

    async def _wait_for(self, tasks: set[Any], timeout: float) -> set[Any]:
        if not tasks:
            return set()
        _, late = await asyncio.wait(tasks, timeout=timeout)
        return set(late)

    async def _within(self, timeout: float, *work: Coroutine[Any, Any, Any]) -> None:
        try:
            await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), timeout)
        except asyncio.TimeoutError:
            self.events.emit("error", TimeoutError(f"a step of the shutdown took more than {timeout:g} s"))


#: The workers that want to hear of signals, by their loop, which can tell but one.
_hearing: dict[asyncio.AbstractEventLoop, set[asyncio.Event]] = {}
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def hear_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    stops = _hearing.setdefault(loop, set())
    stops.add(stop)
    for name in _SIGNALS:
        loop.add_signal_handler(name, stop_all, stops)


def stop_all(stops: set[asyncio.Event]) -> None:
    for stop in stops:
        stop.set()


def ignore_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    _hearing[loop].discard(stop)
    if not _hearing[loop]:
        del _hearing[loop]
        for name in _SIGNALS:
            loop.remove_signal_handler(name)


class Works(Protocol[P]):
    """What a worker can work on: a ``Queue``, a ``ShardedQueue``."""

    def crew(self, options: Options, events: Events) -> Crew[P]: ...


class Worker(Generic[P]):
    """Calls ``handler(claim)`` for every item, up to ``concurrency`` at once. Options are those of ``Options``.

    The handler settles the claim: ``await claim.resolve(…)``, ``release`` or ``move``. If it raises, the item is released
    with ``retry_delay``; if it returns without settling, it is released at once. When the lock is lost, the handler is
    cancelled. ``run`` goes on until ``close``; ``on`` listens to events.
    """

    def __init__(self, queue: Works[P], handler: Handler[P], moderator: Text, **options: Unpack[WorkOptions]) -> None:
        self.queue = queue
        check_handler(handler, threads=False)
        self.options = Options(moderator, **options)
        self._handler = handler
        self._drain = seconds(self.options.drain_timeout)
        self._crew: Crew[P] | None = None
        self._events = Events()
        self._stop = asyncio.Event()
        self._closed = asyncio.Event()

    def on(self, event: Event, listener: Callable[..., Any]) -> None:
        """Calls ``listener`` at ``error``, ``stalled``, ``lock_lost``, ``drained`` or ``closed``."""
        self._events.on(event, listener)

    async def run(self, *, handle_signals: bool = False) -> None:
        """Works until ``close`` is called, or an error comes that does not pass (it is raised): no rights, another type.

        ``handle_signals``: SIGTERM and SIGINT close the worker."""
        if self._crew is not None:
            raise RuntimeError("this worker runs, or has run: make another one")
        crew = self._crew = self.queue.crew(self.options, self._events)
        if handle_signals:
            hear_signals(self._stop)
        crew.begin()
        for slot in crew.slots:
            slot.task = asyncio.ensure_future(self._work(crew, slot))
        stop = asyncio.ensure_future(self._stop.wait())
        failed = asyncio.ensure_future(crew.closing.wait())
        try:
            await asyncio.wait({stop, failed}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._drain = 0.0
            raise
        finally:
            stop.cancel()
            failed.cancel()
            try:
                await to_the_end(crew.end(self._drain), crew.hurry)
            finally:
                self._closed.set()
                if handle_signals:
                    ignore_signals(self._stop)
        if crew.failure is not None:
            raise crew.failure

    async def close(self, timeout: Duration | None = None) -> None:
        """Stops claiming, waits up to ``timeout`` (default ``drain_timeout``) for what is in hand, cancels the rest, gives
        back what is still held, and returns when all that is done. Called by a handler, which that waits for, it returns
        at once."""
        if timeout is not None:
            self._drain = seconds(timeout)
        self._stop.set()
        me = asyncio.current_task()
        if self._crew is not None and all(slot.task is not me for slot in self._crew.slots):
            await self._closed.wait()

    async def _work(self, crew: Crew[P], slot: Slot[P]) -> None:
        while (claim := await crew.next(slot)) is not None:
            try:
                async with claim:
                    answer: Any = self._handler(claim)
                    if not isawaitable(answer):
                        raise TypeError(
                            "the handler of a modq.asyncio.Worker is async; for ordinary ones there is modq.Worker"
                        )
                    await answer
            except LockLost:
                pass
            except asyncio.CancelledError as error:
                if crew.closing.is_set():
                    raise
                # Something the handler waited for was cancelled, not the worker: its item is on its way back.
                crew.events.emit("error", error)
                await crew.heart.finish(STEP)
            except Exception as error:
                crew.events.emit("error", error)
            slot.adopting = not claim.over.is_set()
            crew.heart.held.discard(claim)


class Queue(Commands[P]):
    __doc__ = Commands.__doc__

    if TYPE_CHECKING:

        @overload
        def __init__(self: Queue[bytes], client: Client, name: Text) -> None: ...
        @overload
        def __init__(self, client: Client, name: Text, *, codec: Codec[P]) -> None: ...
        def __init__(self, client: Client, name: Text, *, codec: Any = None) -> None: ...

    def crew(self, options: Options, events: Events) -> Crew[P]:
        return Crew(self, options, events)

    def work(self, moderator: Text, **options: Unpack[WorkOptions]) -> AsyncGenerator[WorkClaim[P], None]:
        """``async for claim in queue.work("bot", concurrency=10)``: claims whose locks are kept alive until settled.

        With concurrency 1 (default) a claim that is not settled when the next is asked for is released. With more, hand
        them to tasks (``async with claim: …`` in each): a slot is free when its claim is settled or lost. Leaving the
        loop gives back what is held.
        """
        return work(self.crew(Options(moderator, **options), Events()))

    def worker(self, handler: Handler[P], moderator: Text, **options: Unpack[WorkOptions]) -> Worker[P]:
        """A ``Worker`` that calls ``handler`` with each claim."""
        return Worker(self, handler, moderator, **options)


async def work(crew: Crew[P]) -> AsyncGenerator[WorkClaim[P], None]:
    """Claims one after the other, up to ``concurrency`` unsettled at once; then the orderly end."""
    crew.begin()
    claims = one_by_one(crew) if crew.options.concurrency == 1 else several(crew)
    try:
        async for claim in claims:
            yield claim
    finally:
        await claims.aclose()
        await to_the_end(crew.end(0.0), crew.hurry)
    if crew.failure is not None:
        raise crew.failure


async def one_by_one(crew: Crew[P]) -> AsyncGenerator[WorkClaim[P], None]:
    slot = crew.slots[0]
    while (claim := await crew.next(slot)) is not None:
        yield claim
        if not claim.over.is_set():
            await claim.release()
        crew.heart.held.discard(claim)


async def several(crew: Crew[P]) -> AsyncGenerator[WorkClaim[P], None]:
    ready: asyncio.Queue[WorkClaim[P] | None] = asyncio.Queue()

    async def fill(slot: Slot[P]) -> None:
        while (claim := await crew.next(slot)) is not None:
            ready.put_nowait(claim)
            await claim.over.wait()
            crew.heart.held.discard(claim)
        ready.put_nowait(None)

    for slot in crew.slots:
        slot.task = asyncio.ensure_future(fill(slot))
    while (claim := await ready.get()) is not None:
        yield claim
