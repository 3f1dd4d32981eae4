"""The library's own connections: copies of the user's settings, whatever kind of connection that is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry
from servers import PATIENCE, Server, wait_until

from modq import Queue
from modq import asyncio as aio
from modq._sync import link
from modq._sync.link import Line, Link
from modq.asyncio import link as aio_link


def pool_of(line: Line) -> Any:
    return line.client().connection_pool


def test_tls_and_credentials_are_taken_over() -> None:
    client = redis.Redis(
        host="h", port=1, db=3, ssl=True, ssl_ca_certs="/ca.pem", username="u", password="p", client_name="mine",
        socket_keepalive=True, retry_on_timeout=True, retry=Retry(NoBackoff(), 9),
    )  # fmt: skip
    before = dict(client.connection_pool.connection_kwargs)
    pool = pool_of(Line(client, b"q", 7.0, 1))
    assert client.connection_pool.connection_kwargs == before
    made, kwargs = pool.make_connection(), pool.connection_kwargs
    assert isinstance(made, redis.SSLConnection) and made.ca_certs == "/ca.pem"
    assert (made.host, made.port, made.db, made.client_name) == ("h", 1, 3, "mine")
    assert (kwargs["username"], kwargs["password"], made.socket_keepalive) == ("u", "p", True)
    assert made.socket_timeout == 7.0 and made.retry._retries == 0 and pool.max_connections == 1


@pytest.mark.parametrize("pool", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_pools_of_any_kind(one_server: Server, name: str, pool: Any) -> None:
    client = redis.Redis(connection_pool=pool(host="127.0.0.1", port=one_server.port, max_connections=1))
    queue = Queue(client, name)
    queue.submit("post:1", b"")
    for claim in queue.work("bot"):
        claim.resolve()
        break
    assert queue.claim("alice", block=0.01) == []
    queue.close()
    client.close()


def test_a_cut_while_a_pool_that_lets_wait_is_used(one_server: Server, name: str) -> None:
    client = redis.Redis(connection_pool=redis.BlockingConnectionPool(host="127.0.0.1", port=one_server.port))
    queue = Queue(client, name)
    done: list[str] = []
    worker = queue.worker(lambda claim: (claim.resolve(), done.append(claim.item)), "bot")
    thread = threading.Thread(target=worker.run)
    thread.start()
    with one_server.client() as other:
        queue.submit("post:1", b"")
        wait_until(lambda: done and other.execute_command("MODQ.WAITERS", name))
        other.client_kill_filter(_type="normal", skipme=True)
        other.execute_command("MODQ.SUBMIT", name, "post:2", "")
        wait_until(lambda: len(done) == 2)
    worker.close()
    thread.join(PATIENCE)
    client.close()


def test_how_long_connecting_may_take() -> None:
    """Not longer than an answer, whatever the client does by default; and not longer than the user says."""
    for given, taken in ({}, 0.1), ({"socket_connect_timeout": 20}, 0.1), ({"socket_connect_timeout": 0.05}, 0.05):
        for of, client in (link, redis.Redis(**given)), (aio_link, redis.asyncio.Redis(**given)):
            made = of.single(client.connection_pool, 0.1, None)
            assert made.connection_pool.connection_kwargs["socket_connect_timeout"] == taken


async def test_pools_of_any_kind_in_asyncio(one_server: Server, name: str) -> None:
    made = redis.asyncio.BlockingConnectionPool(host="127.0.0.1", port=one_server.port, max_connections=1)
    queue = aio.Queue(redis.asyncio.Redis(connection_pool=made), name)
    await queue.submit("post:1", b"")
    assert len(await queue.claim("alice", block=1)) == 1
    await queue.close()
    await made.disconnect()


async def test_unix_sockets(own: Callable[..., Server], name: str, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    own("redis-7.0", f"unixsocket {path}")
    queue = Queue(redis.Redis(unix_socket_path=path), name)
    queue.submit("post:1", b"")
    queue.submit("post:2", b"")
    for claim in queue.work("bot"):
        claim.resolve()
        break
    client = redis.asyncio.Redis(unix_socket_path=path)
    other = aio.Queue(client, name)
    [mine] = await other.claim("alice", block=1)
    assert mine.item == "post:2"
    await mine.resolve()
    await other.close()
    await client.connection_pool.disconnect()


def test_who_repeats_by_itself() -> None:
    calm = redis.Redis(retry=Retry(NoBackoff(), 0))
    assert not Link(calm)._repeats
    assert Link(redis.Redis(retry=Retry(NoBackoff(), 3)))._repeats
    assert Link(redis.Redis(retry_on_timeout=True))._repeats
    from redis.asyncio.retry import Retry as AsyncRetry

    assert aio_link.Link(redis.asyncio.Redis(retry=AsyncRetry(NoBackoff(), 3)))._repeats
