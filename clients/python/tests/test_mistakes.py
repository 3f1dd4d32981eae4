"""What a program gets wrong is told at once, by an error that says what would be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio
from servers import Server
from sides import Side

import modq
from modq import InvalidArgument, Limit, Limiter, Queue, Worker
from modq import asyncio as aio
from modq.middleware import asgi, wsgi

CLIENT = redis.Redis()


async def coroutine(_claim: Any) -> None: ...


class Handler:
    async def __call__(self, _claim: Any) -> None: ...


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Queue(redis.asyncio.Redis(), "q"), "modq.asyncio"),  # type: ignore[arg-type]
    (lambda: aio.Queue(CLIENT, "q"), "classes of modq$"),  # type: ignore[arg-type]
    (lambda: Limiter(redis.asyncio.Redis(), Limit(1, 1)), "modq.asyncio"),  # type: ignore[arg-type]
    (lambda: Queue("redis://localhost", "q"), "not a client of redis-py: str"),  # type: ignore[arg-type]
    (lambda: Queue(CLIENT, 5), "str or bytes, not int"),  # type: ignore[arg-type]
    (lambda: Queue(CLIENT, "q").submit(5, b""), "str or bytes, not int"),  # type: ignore[arg-type]
    (lambda: Queue(CLIENT, "q").submit("a", "text"), "a codec"),  # type: ignore[arg-type]
    # bytes(5) would be five zeros.
    (lambda: Queue(CLIENT, "q").submit("a", 5), "bytes, not int"),  # type: ignore[arg-type]
    (lambda: Queue(CLIENT, "q").claim("m", lock="30s"), "seconds, not str"),  # type: ignore[arg-type]
    (lambda: Limiter(CLIENT, 10, 60), "modq.Limit"),  # type: ignore[arg-type]
    (lambda: modq.Board(CLIENT, "b").add("m", 1.5), "integer"),  # type: ignore[arg-type]
    (lambda: Worker(Queue(CLIENT, "q"), None, "bot"), "handler"),  # type: ignore[arg-type]
    (lambda: Worker(Queue(CLIENT, "q"), print, None), "str or bytes"),  # type: ignore[arg-type]
    (lambda: Worker(Queue(CLIENT, "q"), coroutine, "bot"), "modq.asyncio.Worker"),
    (lambda: Worker(Queue(CLIENT, "q"), Handler(), "bot"), "modq.asyncio.Worker"),
    (lambda: Worker(Queue(CLIENT, "q"), print, "bot").on("error", coroutine), "ordinary function"),
]


@pytest.mark.parametrize(("wrong", "says"), WRONG)
def test_wrong_types(wrong: Callable[[], Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        wrong()


def test_a_middleware_tells_when_it_is_made() -> None:
    mine, other = Limiter(CLIENT, Limit(1, 1)), aio.Limiter(redis.asyncio.Redis(), Limit(1, 1))
    with pytest.raises(TypeError, match=r"modq\.asyncio"):
        asgi.RateLimitMiddleware(None, mine)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Limiter of modq$"):
        wsgi.RateLimitMiddleware(None, other)  # type: ignore[arg-type]
    for make in (
        (lambda: asgi.RateLimitMiddleware(None, other, names=["a", "b"])),
        (  # type: ignore[arg-type]
            lambda: wsgi.RateLimitMiddleware(None, mine, names=["a", "b"])  # type: ignore[arg-type]
        ),
    ):
        with pytest.raises(ValueError, match="2 names for 1 limits"):
            make()


def test_wrong_words() -> None:
    with pytest.raises(ValueError, match="lock_lost"):
        Worker(Queue(CLIENT, "q"), print, "bot").on("lockLost", print)  # type: ignore[arg-type]


def test_a_coroutine_behind_a_function_goes_back_later(one_server: Server, name: str) -> None:
    """Nobody can see beforehand that it is one; and to release it at once would be to try again at once, for ever."""
    queue = Queue(redis.Redis(port=one_server.port), name)
    queue.submit("post:1", b"")
    worker = Worker(queue, lambda claim: coroutine(claim), "bot", retry_delay=3600)
    told: list[Exception] = []
    worker.on("error", lambda error: (told.append(error), worker.close()))
    worker.run()
    assert isinstance(told[0], TypeError) and queue.len("delayed") == 1


def test_a_server_without_the_module(own: Callable[..., Server], side: Side) -> None:
    server = own("redis-7.0", module=False)
    with pytest.raises(InvalidArgument, match="is the module loaded"):
        side.make("Queue", side.client(server.port), "q").submit("post:1", b"")


def test_each_run_has_ids_of_its_own() -> None:
    """Also those of one worker that was made before a fork: the same ids would be given the same items."""
    for worker in (
        Worker(Queue(CLIENT, "q"), print, "bot"),
        aio.Worker(aio.Queue(redis.asyncio.Redis(), "q"), print, "b"),
    ):  # type: ignore[arg-type]
        made: Any = worker
        first, second = (made.queue.crew(made.options, made._events).slots[0].moderator for _ in range(2))
        assert first != second


@pytest.mark.parametrize("on_error", ["open", "closed"])
def test_a_limiter_that_is_not_let_in_fails_as_told(side: Side, own: Callable[..., Server], on_error: str) -> None:
    server = own("redis-8.2")
    with server.client() as client:
        client.acl_setuser("few", enabled=True, passwords=["+p"], commands=["+hello", "+auth", "+ping"], keys=["*"])
    for password in "p", "wrong":
        client = side.client(server.port, username="few", password=password)
        check = side.make("Limiter", client, Limit(1, 60), deadline=10, on_error=on_error).check("u")
        assert check.allowed is (on_error == "open") and check.reason == "error"
