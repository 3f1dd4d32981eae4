"""TLS, client certificates, ACL users and Sentinel by TLS: what the user's client has, the library's own connections
have as well, and whoever is not trusted is told at once."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from certificates import SPEAK_TLS, Certificates, TlsServer
from redis.backoff import NoBackoff
from redis.retry import Retry
from servers import PATIENCE, ROOT, free_port, raw_info, sentinel, wait_until
from sides import Side
from test_worker_sync import running
from until import until

from modq import Limit, NotTrusted, Queue, errors
from modq import asyncio as aio

#: Redis 7.0 always: the older versions of redis-py run on servers that mostly have no TLS.
_KINDS = [kind for kind in SPEAK_TLS if kind == "redis-7.0" or kind in os.environ.get("MODQ_KINDS", kind)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=_KINDS)
def tls(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[TlsServer]:
    made = TlsServer(request.param, certificates)
    rules = Path(ROOT, "docs", "operations.md").read_text()
    with made.server.client() as client:
        for user in ("submitter", "moderator", "limiter"):
            found = re.search(rf"^ACL (SETUSER {user} .*)$", rules, re.MULTILINE)
            assert found is not None, user
            client.execute_command("ACL", *found[1].split())
        client.execute_command("ACL", "SETUSER", "far", "on", ">secret", "~review:*", "+@all")
    yield made
    made.server.stop()


class As:
    """Clients of this side by TLS, as some user."""

    def __init__(self, side: Side, tls: TlsServer, certificates: Certificates) -> None:
        self.side, self.tls, self.certificates = side, tls, certificates

    def __call__(self, user: str, authority: str = "ca", **options: Any) -> Any:
        given = {"username": user, "password": "secret", "socket_timeout": 10, **self.certificates.of_client(authority)}
        return self.side.client(self.tls.port, host="127.0.0.1", **given, **options)


@pytest.fixture
def as_user(side: Side, tls: TlsServer, certificates: Certificates) -> As:
    return As(side, tls, certificates)


def test_tls_a_loop_has_what_the_client_has(side: Side, tls: TlsServer, as_user: As, name: str) -> None:
    """Claims wait, and decisions go out, by TLS, as the user; the rules of docs/operations.md are enough for it."""
    name = f"review:{name}"
    assert side.make("Queue", as_user("submitter"), name).submit("post:1", b"text") == "READY"
    queue = side.make("Queue", as_user("moderator"), name)
    claims = queue.work("bot")
    claim = next(claims)
    assert claim.item == "post:1" and claim.resolve().confirmed
    mine = tls.connections("moderator")
    assert len(mine) >= 2, "one waits, one decides"
    assert {one["laddr"] for one in mine} == {f"127.0.0.1:{tls.port}"}
    claims.close()
    assert queue.claim("ann", block=0.01) == []


def test_tls_limits(side: Side, as_user: As, name: str) -> None:
    limiter = side.make("Limiter", as_user("limiter"), Limit(1, 60), prefix=f"limit:{name}:", deadline=PATIENCE)
    assert limiter.check("u") and not limiter.check("u")


def test_tls_a_database_of_its_own(side: Side, tls: TlsServer, as_user: As, name: str) -> None:
    name = f"review:{name}"
    queue = side.make("Queue", as_user("far", db=3), name)
    queue.submit("post:1", b"text")
    [claim] = queue.claim("ann", block=10)
    claim.release()
    claims = queue.work("bot")
    assert next(claims).resolve().confirmed
    mine = tls.connections("far")
    assert len(mine) >= 2 and {one["db"] for one in mine} == {"3"}
    assert {one["laddr"] for one in mine} == {f"127.0.0.1:{tls.port}"}
    claims.close()


def waits(tls: TlsServer, key: str) -> bool:
    with tls.server.client() as client:
        return len(client.execute_command("MODQ.WAITERS", key)) == 1


def cut(tls: TlsServer, user: str) -> int:
    with tls.server.client() as client:
        return int(client.execute_command("CLIENT", "KILL", "USER", user))


def test_tls_a_worker_in_threads_comes_back(tls: TlsServer, certificates: Certificates, name: str) -> None:
    key = f"review:{name}"
    options = {"host": "127.0.0.1", "port": tls.port, "password": "secret", **certificates.of_client()}
    with redis.Redis(username="moderator", **options) as client, redis.Redis(username="submitter", **options) as other:
        done: list[str] = []
        worker = Queue(client, key).worker(lambda claim: (claim.resolve(), done.append(claim.item)), "bot")
        with running(worker) as ended:
            for item in ("post:1", "post:2"):
                wait_until(lambda: waits(tls, key), "it waits")
                Queue(other, key).submit(item, b"text")
                wait_until(lambda item=item: item in done, "it is decided")
                assert cut(tls, "moderator") >= 2
            wait_until(lambda: waits(tls, key), "it waits again")
        assert ended == [] and done == ["post:1", "post:2"]


async def test_tls_a_worker_in_tasks_comes_back(tls: TlsServer, certificates: Certificates, name: str) -> None:
    key = f"review:{name}"
    options = {"host": "127.0.0.1", "port": tls.port, "password": "secret", **certificates.of_client()}
    client = redis.asyncio.Redis(username="moderator", **options)
    other = redis.asyncio.Redis(username="submitter", **options)
    done: list[str] = []

    async def handle(claim: Any) -> None:
        await claim.resolve()
        done.append(claim.item)

    worker = aio.Queue(client, key).worker(handle, "bot")
    working = asyncio.ensure_future(worker.run())
    for item in ("post:1", "post:2"):
        await until(lambda: waits(tls, key))
        await aio.Queue(other, key).submit(item, b"text")
        await until(lambda item=item: item in done)
        assert cut(tls, "moderator") >= 2
    await until(lambda: waits(tls, key))
    await worker.close()
    await working
    assert done == ["post:1", "post:2"]
    for one in (client, other):
        await one.connection_pool.disconnect()


async def test_tls_presence_hears(tls: TlsServer, certificates: Certificates, name: str) -> None:
    key = f"review:{name}"
    options = {"host": "127.0.0.1", "port": tls.port, "password": "secret", **certificates.of_client()}
    client = redis.asyncio.Redis(username="moderator", **options)
    other = redis.asyncio.Redis(username="submitter", **options)
    async with aio.Presence(aio.Queue(client, key), "ann", ttl=PATIENCE) as presence:
        await aio.Queue(other, key).submit("post:1", b"text")
        async for claim in presence:
            await claim.resolve()
            break
    assert await aio.Queue(client, key).held("ann") == []
    for one in (client, other):
        await one.connection_pool.disconnect()


# ---- Who is not trusted


def test_tls_an_authority_nobody_knows_ends_a_worker(tls: TlsServer, certificates: Certificates, name: str) -> None:
    options = {"host": "127.0.0.1", "port": tls.port, **certificates.of_client("stranger")}
    with redis.Redis(**options) as client:
        worker = Queue(client, name).worker(lambda claim: None, "bot")
        with pytest.raises(
            NotTrusted, match=r"CERTIFICATE_VERIFY_FAILED.*self-signed certificate in certificate chain"
        ):
            worker.run()


async def test_tls_the_same_in_asyncio(tls: TlsServer, certificates: Certificates, name: str) -> None:
    options = {"host": "127.0.0.1", "port": tls.port, **certificates.of_client("stranger")}
    client = redis.asyncio.Redis(**options)
    worker = aio.Queue(client, name).worker(lambda claim: None, "bot")
    with pytest.raises(NotTrusted, match=r"CERTIFICATE_VERIFY_FAILED.*self-signed certificate in certificate chain"):
        await asyncio.wait_for(worker.run(), PATIENCE)


def test_tls_each_call_says_who_is_not_trusted(side: Side, as_user: As, name: str) -> None:
    from redis.asyncio.retry import Retry as AsyncRetry

    retry = AsyncRetry(NoBackoff(), 0) if side.loop else Retry(NoBackoff(), 0)
    client = as_user("far", "stranger", retry=retry)
    queue = side.make("Queue", client, f"review:{name}")
    for call in (queue.len, lambda: queue.claim("ann", block=1), lambda: next(queue.work("bot"))):
        with pytest.raises(NotTrusted, match="CERTIFICATE_VERIFY_FAILED"):
            call()
    # A limiter that is to let pass what it cannot ask about does so here too.
    limiter = side.make("Limiter", client, Limit(1, 60), prefix="limit:", deadline=PATIENCE, on_error="open")
    check = limiter.check("u")
    assert check and check.reason == "error" and isinstance(check.error, NotTrusted)


def test_tls_a_wrong_password_ends_a_worker(tls: TlsServer, certificates: Certificates, name: str) -> None:
    options = {"host": "127.0.0.1", "port": tls.port, "username": "far", **certificates.of_client()}
    with redis.Redis(password="wrong", **options) as client, pytest.raises(redis.AuthenticationError):
        Queue(client, name).worker(lambda claim: None, "bot").run()


def test_tls_what_the_server_says_of_our_certificate_is_known() -> None:
    """Whether its alert or the end of the connection is seen first is a matter of luck, so without a server."""
    alert = OSError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)")
    told = redis.ConnectionError("Error while reading from socket")
    told.__context__ = alert
    found = errors.not_trusted(told)
    assert str(found) == "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required"
    assert errors.not_trusted(redis.ConnectionError("Connection closed by server.")) is None
    assert errors.not_trusted(redis.ResponseError("[SSL: CERTIFICATE_VERIFY_FAILED] is a payload")) is None


# ---- Sentinel, cluster


def works_by_tls(queue: Any, server: TlsServer) -> None:
    """A worker decides, and all its connections are to the TLS port of `server`."""
    queue.submit("post:1", b"text")
    claims = queue.work("bot")
    assert next(claims).resolve().confirmed
    mine = server.connections("far")
    assert len(mine) >= 2 and {one["laddr"] for one in mine} == {f"127.0.0.1:{server.port}"}
    claims.close()


def test_tls_sentinel(side: Side, certificates: Certificates, name: str) -> None:
    """The Sentinel and the primary it names are both asked by TLS; the user is the primary's."""
    primary = TlsServer("redis-7.0", certificates)
    port = free_port()
    watcher = sentinel(primary.server, "main", primary.port, *certificates.of_server(port), "tls-replication yes")
    try:
        with primary.server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "far", "on", ">secret", "~*", "+@all")
        module: Any = redis.asyncio.sentinel if side.loop else redis.sentinel
        tls_only = certificates.of_client()
        manager = module.Sentinel(
            [("127.0.0.1", port)], sentinel_kwargs=tls_only, username="far", password="secret", **tls_only
        )
        queue = side.make("Queue", manager.master_for("main"), name)
        works_by_tls(queue, primary)
    finally:
        watcher.stop()
        primary.server.stop()


def test_tls_cluster(side: Side, certificates: Certificates, name: str) -> None:
    """Claims wait at the node of their key, by TLS as well."""
    options = ("cluster-enabled yes", "tls-cluster yes", f"cluster-port {free_port()}")
    node = TlsServer("redis-7.0", certificates, *options)
    try:
        with node.server.client() as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: b"cluster_state:ok" in raw_info(admin), "the cluster is whole")
            admin.execute_command("ACL", "SETUSER", "far", "on", ">secret", "~*", "+@all")
        given = {"username": "far", "password": "secret", **certificates.of_client()}
        queue = side.make("Queue", side.client(node.port, "RedisCluster", **given), name)
        works_by_tls(queue, node)
    finally:
        node.server.stop()
