"""The worker of threads: claims, hands out, keeps locks alive, and ends in good order."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
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
from .timing import each_in_a_thread

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = TypeVar("P")

#: What works on one claim, in a thread of its slot: it resolves, releases or moves it.
Handler = Callable[["WorkClaim[P]"], Any]


class Slot(Generic[P]):
    """One item in hand at a time: a moderator id, a connection that waits, and, in a ``Worker``, a thread."""

    def __init__(self, number: int, moderator: bytes, line: Line) -> None:
        self.number = number
        self.moderator = moderator
        self.line = line
        self.thread: threading.Thread | None = None
        self.question: Command[list[Lock]] | None = None
        self.claiming = False
        self.failures = 0
        #: After an error the next claim may be an old lock whose answer was lost: how long it still lasts is unknown.
        self.adopting = False

    def wake(self) -> None:
        """Ends a CLAIM that waits: its socket is shut, and the thread that reads from it notices."""
        mine = self.line._mine
        pool: Any = None if mine is None else mine.connection_pool
        for connection in [*getattr(pool, "_in_use_connections", ()), *getattr(pool, "_connections", ())]:
            try:
                connection._sock.shutdown(socket.SHUT_RDWR)
            except (AttributeError, OSError):
                pass


class Crew(Generic[P]):
    """What a worker is made of: slots, heartbeats, connections, and how they end. Users see ``Worker`` and ``work``."""

    def __init__(self, queue: Commands[P], options: Options, events: Events) -> None:
        self.queue = queue
        options = options.of_this_process()
        self.options = options
        self.events = events
        self.heart: Heart[P] = Heart(options, events)
        self.closing = threading.Event()
        self.failure: BaseException | None = None
        self.slots = [self.open_slot(number) for number in range(options.concurrency)]
        self._lines: dict[bytes, Line] = {}
        self._mutex = threading.Lock()
        self._found = False
        self._ask = modq.claim_options(lock=options.lock_duration, tags=options.tags)

    def open_slot(self, number: int) -> Slot[P]:
        line = Line(self.queue.link.client, self.queue.key, BLOCK + 2, 1)
        return Slot(number, self.options.id_of(number), line)

    def line(self, queue: Commands[P]) -> Line:
        """The connections for everything but waiting."""
        with self._mutex:
            if queue.key not in self._lines:
                self._lines[queue.key] = Line(queue.link.client, queue.key, self.options.reply)
            return self._lines[queue.key]

    def queues(self) -> list[Commands[P]]:
        """Where its slots may hold something."""
        return [self.queue]

    def lines(self) -> list[Line]:
        return [*self._lines.values(), *(slot.line for slot in self.slots)]

    def threads(self) -> list[threading.Thread]:
        return [self.heart.thread, *(slot.thread for slot in self.slots if slot.thread is not None)]

    # ---- Claiming

    def ask(self, slot: Slot[P]) -> WorkClaim[P] | None:
        """One CLAIM, which waits for some seconds. Whoever holds nothing is given something new, or what an answer that
        was lost had given them."""
        if slot.question is None:
            slot.question = modq.claim(self.queue.key, slot.moderator, self._ask, ms(BLOCK))
        locks = slot.line.run(slot.question)
        if not locks:
            return None
        return WorkClaim(self.queue, locks[0], slot.moderator, self.heart, self.line(self.queue))

    def next(self, slot: Slot[P]) -> WorkClaim[P] | None:
        """The next claim; None once the worker closes."""
        while not self.closing.is_set():
            slot.claiming = True
            try:
                claim = self.ask(slot)
                if claim is not None and (slot.adopting or claim.is_old()):
                    claim.extend(self.options.lock_duration)
            except Exception as error:
                if self.closing.is_set() or not self._go_on(slot, error):
                    return None
                self.closing.wait(backoff(slot.failures))
                continue
            finally:
                slot.claiming = False
            slot.failures, slot.adopting = 0, False
            if claim is None:
                self._nothing()
                continue
            self._found = True
            self.heart.hold(claim)
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

    # ---- The end

    def end(self, drain: float) -> None:
        """Stop claiming; drain; ask what is left to stop; stop heartbeats; release; close. No step waits for ever."""
        self.closing.set()
        self._stop_claiming()
        self._join(drain)
        self.heart.ending.set()
        left = self.heart.held()
        for claim in left:
            claim.lost.set()
        self._join(STEP if left else 0.0)
        self.heart.stop(STEP)
        self._give_back()
        for line in self.lines():
            line.close()
        self.events.emit("closed")

    def _stop_claiming(self) -> None:
        end = time.monotonic() + BLOCK + 2
        while time.monotonic() < end:
            waiting = [slot for slot in self.slots if slot.claiming and slot.thread is not None]
            if not waiting:
                return
            for slot in waiting:
                slot.wake()
            time.sleep(0.02)

    def _join(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        for slot in self.slots:
            if slot.thread is not None:
                slot.thread.join(max(0.0, end - time.monotonic()))

    def _give_back(self) -> None:
        """Every lock that is left ends, also those whose answer never came. No queue waits for the node of another."""
        held = self.heart.held()
        if not each_in_a_thread([partial(self._give_back_to, queue, held) for queue in self.queues()], STEP):
            self.events.emit("error", TimeoutError(f"a step of the shutdown took more than {STEP:g} s"))
        for claim in held:
            claim.lose()

    def _give_back_to(self, queue: Commands[P], held: list[WorkClaim[P]]) -> None:
        mine = [claim for claim in held if claim.queue is queue]
        releases: list[Command[Any]] = [modq.release(queue.key, claim.item, claim.token) for claim in mine]
        goodbyes = [modq.leave(queue.key, slot.moderator, release=True) for slot in self.slots]
        self.line(queue).run_all([*releases, *goodbyes])


class Works(Protocol[P]):
    """What a worker can work on: a ``Queue``, a ``ShardedQueue``."""

    def crew(self, options: Options, events: Events) -> Crew[P]: ...


class Worker(Generic[P]):
    """Calls ``handler(claim)`` for every item, in ``concurrency`` threads. Keywords are those of ``Options``.

    The handler settles the claim: ``claim.resolve(…)``, ``release`` or ``move``. If it raises, the item is released with
    ``retry_delay``; if it returns without settling, it is released at once. When the lock is lost, ``claim.lost`` is set.
    ``run`` goes on until ``close``; ``on`` listens to events.
    """

    def __init__(self, queue: Works[P], handler: Handler[P], moderator: Text, **options: Unpack[WorkOptions]) -> None:
        self.queue = queue
        check_handler(handler, threads=True)
        self.options = Options(moderator, **options)
        self._handler = handler
        self._drain = seconds(self.options.drain_timeout)
        self._events = Events()
        self._stop = threading.Event()
        self._crew: Crew[P] | None = None
        self._runner: threading.Thread | None = None
        self._closed = threading.Event()

    def on(self, event: Event, listener: Callable[..., Any]) -> None:
        """Calls ``listener`` at ``error``, ``stalled``, ``lock_lost``, ``drained`` or ``closed``, in some thread."""
        self._events.on(event, listener)

    def run(self, *, handle_signals: bool = False) -> None:
        """Works until ``close`` is called, or an error comes that does not pass (it is raised): no rights, another type.

        ``handle_signals``: SIGTERM and SIGINT close the worker; only in the main thread."""
        if self._crew is not None:
            raise RuntimeError("this worker runs, or has run: make another one")
        self._runner = threading.current_thread()
        crew = self._crew = self.queue.crew(self.options, self._events)
        before = self._listen() if handle_signals else {}
        crew.heart.begin()
        for slot in crew.slots:
            slot.thread = threading.Thread(target=self._work, args=(crew, slot), name="modq-slot", daemon=True)
            slot.thread.start()
        try:
            while not (self._stop.wait(0.1) or crew.closing.is_set()):
                pass
        except BaseException:
            self._drain = 0.0
            raise
        finally:
            crew.end(self._drain)
            self._closed.set()
            for name, handler in before.items():
                signal.signal(name, handler)
        if crew.failure is not None:
            raise crew.failure

    def close(self, timeout: Duration | None = None) -> None:
        """Stops claiming, waits up to ``timeout`` (default ``drain_timeout``) for what is in hand, asks the rest to stop,
        gives back what is still held, and returns when all that is done. Called by a handler, a listener or a signal, which
        that waits for, it returns at once."""
        if timeout is not None:
            self._drain = seconds(timeout)
        self._stop.set()
        if self._crew is not None and threading.current_thread() not in (self._runner, *self._crew.threads()):
            self._closed.wait()

    def _listen(self) -> dict[signal.Signals, Any]:
        """The handlers that were there before, to be put back."""
        names = (signal.SIGTERM, signal.SIGINT)
        return {name: signal.signal(name, lambda *_: self._stop.set()) for name in names}

    def _work(self, crew: Crew[P], slot: Slot[P]) -> None:
        while (claim := crew.next(slot)) is not None:
            try:
                with claim:
                    answer = self._handler(claim)
                    if isinstance(answer, Coroutine):
                        answer.close()
                        raise TypeError("an async handler goes with modq.asyncio.Worker: threads do not await it")
            except LockLost:
                pass
            except BaseException as error:  # sys.exit() in a handler ends that handler
                crew.events.emit("error", error)
            slot.adopting = not claim.over
            crew.heart.let_go(claim)


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

    def work(self, moderator: Text, **options: Unpack[WorkOptions]) -> Iterator[WorkClaim[P]]:
        """``for claim in queue.work("bot")``: claims whose locks are kept alive, by a thread, until settled.

        One at a time: a claim that is not settled when the next is asked for is released. For more at once use a
        ``Worker``. Leaving the loop gives back what is held.
        """
        return work(self.crew(Options(moderator, **options), Events()))

    def worker(self, handler: Handler[P], moderator: Text, **options: Unpack[WorkOptions]) -> Worker[P]:
        """A ``Worker`` that calls ``handler`` with each claim."""
        return Worker(self, handler, moderator, **options)


def work(crew: Crew[P]) -> Iterator[WorkClaim[P]]:
    """Claims one after the other; then the orderly end."""
    if crew.options.concurrency != 1:
        raise ValueError("work() is for one at a time; Worker has threads")
    crew.heart.begin()
    slot = crew.slots[0]
    try:
        while (claim := crew.next(slot)) is not None:
            yield claim
            if not claim.over:
                claim.release()
            crew.heart.let_go(claim)
    finally:
        crew.end(0.0)
    if crew.failure is not None:
        raise crew.failure
