"""Servers and clients as fixtures. One server of each kind serves all tests of a module that do not harm it."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import redis
import redis.asyncio
from proxy import Proxy
from servers import KINDS, Server
from sides import Side

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server]]:
    running: dict[str, Server] = {}

    def of(kind: str) -> Server:
        if kind not in running:
            running[kind] = Server(kind)
        return running[kind]

    yield of
    for one in running.values():
        one.stop()


#: MODQ_KINDS limits the servers: a list with commas.
_KINDS = [kind for kind in KINDS if kind in os.environ.get("MODQ_KINDS", ",".join(KINDS)).split(",")]


@pytest.fixture(params=_KINDS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


@pytest.fixture
def one_server(servers: Callable[[str], Server]) -> Server:
    return servers(_KINDS[0])


@pytest.fixture
def name() -> str:
    """The name of a queue that no other test has."""
    return f"q{next(_numbers)}"


@pytest.fixture
def own() -> Iterator[Callable[..., Server]]:
    """Servers of a test's own, to be killed."""
    made: list[Server] = []

    def start(kind: str = "redis-8.2", *options: str, **more: object) -> Server:
        made.append(Server(kind, *options, **more))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def proxied() -> Iterator[Callable[[int], Proxy]]:
    made: list[Proxy] = []

    def start(port: int) -> Proxy:
        made.append(Proxy(port))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as made:
        yield made


@pytest.fixture
async def aclient(server: Server) -> AsyncIterator[redis.asyncio.Redis]:
    made = redis.asyncio.Redis(port=server.port, socket_timeout=10)
    yield made
    await made.connection_pool.disconnect()


@pytest.fixture(params=["sync", "asyncio"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    made = Side(request.param)
    yield made
    made.close()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def connection(request: pytest.FixtureRequest, side: Side, server: Server) -> object:
    """A client of this side, by both protocols; with RESP3 also one that would decode what it reads."""
    options = {"protocol": 2} if request.param == 2 else {"protocol": 3, "decode_responses": True}
    return side.client(server.port, socket_timeout=10, **options)
