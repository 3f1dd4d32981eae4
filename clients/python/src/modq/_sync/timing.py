"""What takes time, for threads: something done again and again in the background, and a limit on how long to wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
log = logging.getLogger("modq")


class Keeper:
    """Does ``what`` every ``pause`` seconds from ``start`` to ``stop``, in a thread."""

    def __init__(self, pause: float, what: Callable[[], Any]) -> None:
        self._pause = pause
        self._what = what
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name="modq-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._pause):
            try:
                self._what()
            except Exception as error:
                log.warning("%s: %s", type(error).__name__, error)


def within(limit: float, work: T) -> T:
    """Without asyncio the time-outs of the connection limit how long work takes: it is done already."""
    return work


def each_in_a_thread(work: Sequence[Callable[[], Any]], limit: float | None = None) -> bool:
    """Does all of it side by side; whether it was done within ``limit`` seconds. What is late goes on by itself."""
    threads = [threading.Thread(target=one, name="modq-aside", daemon=True) for one in work]
    for thread in threads:
        thread.start()
    end = None if limit is None else time.monotonic() + limit
    for thread in threads:
        thread.join(None if end is None else max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
