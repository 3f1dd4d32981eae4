"""Both sides of the library through one test: the asyncio classes behind an interface that waits for each answer."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import redis
import redis.asyncio

import modq
import modq.asyncio

_WRAPPED = (
    modq.asyncio.Queue,
    modq.asyncio.Claim,
    modq.asyncio.Limiter,
    modq.asyncio.Reservation,
    modq.asyncio.Policies,
    modq.asyncio.Board,
    modq.asyncio.EventLog,
    modq.asyncio.Leases,
    modq.asyncio.Lease,
    modq.asyncio.ShardedQueue,
)


class Blocking:
    """An asyncio object whose methods are waited for."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.inner, self.loop = inner, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not callable(value):
            return wrap(value, self.loop)

        def call(*args: Any, **options: Any) -> Any:
            unwrapped = [unwrap(arg) for arg in args]
            return self.wait(value(*unwrapped, **options))

        return call

    def wait(self, answer: Any) -> Any:
        if inspect.isawaitable(answer):
            answer = self.loop.run_until_complete(answer)
        if inspect.isasyncgen(answer):
            return self.walk(answer)
        return wrap(answer, self.loop)

    def walk(self, generator: Any) -> Any:
        try:
            while True:
                try:
                    yield self.wait(generator.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            self.wait(generator.aclose())

    def __bool__(self) -> bool:
        return bool(self.inner)

    def __enter__(self) -> Any:
        return self.wait(self.inner.__aenter__())

    def __exit__(self, *error: Any) -> Any:
        return self.wait(self.inner.__aexit__(*error))


def wrap(value: Any, loop: asyncio.AbstractEventLoop) -> Any:
    if isinstance(value, _WRAPPED):
        return Blocking(value, loop)
    if isinstance(value, list):
        return [wrap(one, loop) for one in value]
    return value


def unwrap(value: Any) -> Any:
    if isinstance(value, Blocking):
        return value.inner
    return [unwrap(one) for one in value] if isinstance(value, list) else value


class Side:
    """Makes clients and objects of one side."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.loop = asyncio.new_event_loop() if kind == "asyncio" else None
        self.clients: list[Any] = []
        self.made: list[Any] = []

    def client(self, port: int, cls: str = "Redis", **options: Any) -> Any:
        module: Any = redis.asyncio if self.loop else redis
        if cls == "RedisCluster":
            options["host"] = "127.0.0.1"
        client = getattr(module, cls)(port=port, **options)
        self.clients.append(client)
        return client

    def make(self, name: str, *args: Any, **options: Any) -> Any:
        module: Any = modq.asyncio if self.loop else modq
        made = getattr(module, name)(*args, **options)
        self.made.append(made)
        return wrap(made, self.loop) if self.loop else made

    def wait(self, answer: Any) -> Any:
        return self.loop.run_until_complete(answer) if self.loop else answer

    def close(self) -> None:
        for made in self.made:
            self.wait(made.close() if hasattr(made, "close") else _nothing(self.loop))
        for client in self.clients:
            close = getattr(client, "aclose", None) or client.close
            self.wait(close())
        if self.loop:
            self.loop.close()


def _nothing(loop: Any) -> Any:
    async def nothing() -> None: ...

    return nothing() if loop else None
