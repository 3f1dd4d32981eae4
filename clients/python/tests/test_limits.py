"""Limiters, policies and leases on both sides; what a limiter does when it cannot ask; the middleware."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
import redis.asyncio
from proxy import Proxy
from servers import PATIENCE, Server, free_port, wait_until
from sides import Side

from modq import Limit, Limiter, NoPolicy, NoRoom, errors, mcheck
from modq import asyncio as aio
from modq.middleware import asgi, wsgi

SLOW = 5.0  # a deadline that a busy machine keeps


def test_checks(side: Side, connection: Any, name: str) -> None:
    limiter = side.make(
        "Limiter",
        connection,
        Limit(2, 60),
        Limit(100, timedelta(hours=1), "gcra", 50),
        prefix=f"{name}:",
        deadline=SLOW,
    )
    first = limiter.check("u", detail=True)
    assert first and (first.allowed, first.limit, first.remaining, first.granted) == (True, 2, 1, 1)
    assert (first.retry_after, first.reason) == (timedelta(0), "allowed")
    assert [(one.quota, one.violated) for one in first.limits] == [(2, False), (100, False)]
    assert limiter.peek("u", cost=0).remaining == 1
    assert limiter.check("u", id="r1").remaining == 0
    assert limiter.check("u", id="r1").allowed, "the same request is charged once"
    denied = limiter.check("u")
    assert not denied and denied.reason == "limited" and timedelta(0) < denied.retry_after <= timedelta(seconds=60)
    never = limiter.check("u", cost=1000)
    assert never.retry_after is None and never.reason == "too_large"
    assert limiter.refund("u", id="r1") == 1
    assert limiter.check("u", cost=2, partial=True).granted == 1
    assert limiter.refund("u", cost=1) == 1
    with pytest.raises(TypeError):
        limiter.refund("u")
    limiter.block("u", 60)
    assert limiter.check("u", cost=0).allowed is False
    assert limiter.reset("u") is True and limiter.reset("u") is False


def test_reservations_and_waiting(side: Side, connection: Any, name: str) -> None:
    limiter = side.make("Limiter", connection, Limit(1, 0.2), prefix=f"{name}:", deadline=SLOW)
    held = limiter.reserve("u")
    assert held and not limiter.reserve("u")
    assert held.refund() == 1 and held.refund() == 0
    assert limiter.check("u")
    assert limiter.block_until_ready("u", timeout=PATIENCE).allowed
    assert limiter.block_until_ready("u", cost=2).reason == "too_large"
    slow = side.make("Limiter", connection, Limit(1, 3600), prefix=f"{name}:slow:", deadline=SLOW)
    assert slow.check("u") and not slow.block_until_ready("u", timeout=0.05)


def test_policies(side: Side, connection: Any, name: str) -> None:
    policies = side.make("Policies", connection)
    limits = [Limit(10, timedelta(seconds=60)), Limit(100, timedelta(hours=1), "gcra", 20)]
    policies.set(name, *limits)
    assert policies.get(name) == limits and name in policies.list()
    limiter = side.make("Limiter", connection, policy=name, prefix=f"{name}:", deadline=SLOW)
    assert limiter.check("u").limit == 10
    assert policies.delete(name) is True and policies.delete(name) is False
    assert policies.get(name) is None
    with pytest.raises(NoPolicy):
        limiter.check("u")


def test_several_subjects_at_once(one_server: Server, name: str) -> None:
    with one_server.client() as client:
        subjects = [(f"{name}:user", Limit(10, 60)), (f"{name}:ip", Limit(1, 60))]
        both = mcheck(client, subjects)
        assert both and [one.remaining for one in both.checks] == [9, 0]
        again = mcheck(client, subjects)
        assert not again and [one.allowed for one in again.checks] == [True, False]
        assert again.retry_after is not None and again.retry_after > timedelta(0)


def test_leases(side: Side, connection: Any, name: str) -> None:
    leases = side.make("Leases", connection, name, max=2)
    assert leases.acquire("a", ttl=60) and leases.acquire("b", ttl=60)
    denied = leases.acquire("c", ttl=60)
    assert not denied and denied.in_use == 2 and denied.fence == 0
    assert [row.id for row in leases.list()] == ["a", "b"]
    assert leases.list()[0].expires > datetime.now(timezone.utc)
    cursor, rows = leases.page(count=1)
    assert len(rows) == 1 and cursor != "0"
    with pytest.raises(NoRoom), leases.hold(timeout=0.05):
        pass
    assert leases.release("a") is True and leases.release("a") is False
    with leases.hold() as lease:
        assert lease.fence > 0 and len(leases.list()) == 2
    assert [row.id for row in leases.list()] == ["b"]


def test_a_lease_is_renewed(client: redis.Redis, name: str) -> None:
    from modq import Leases

    leases = Leases(client, name, max=1)
    with leases.hold(ttl=1) as lease:
        first = leases.list()[0].expires
        wait_until(lambda: leases.list()[0].expires > first, "it is renewed")
        assert not lease.lost
        leases.release(lease.id)
        leases.acquire("other", ttl=60)
        wait_until(lambda: lease.lost, "the loss is told")
    assert [row.id for row in leases.list()] == ["other"]


@pytest.mark.parametrize("on_error", ["open", "closed", "raise"])
def test_nobody_listens(side: Side, on_error: str) -> None:
    limiter = side.make("Limiter", side.client(free_port()), Limit(1, 60), deadline=SLOW, on_error=on_error)
    if on_error == "raise":
        with pytest.raises(errors.LOST):
            limiter.check("u")
        return
    check = limiter.check("u")
    assert check.allowed is (on_error == "open") and check.reason == "error" and check.error is not None


def test_a_deadline_of_its_own(side: Side, one_server: Server, name: str, proxied: Callable[[int], Proxy]) -> None:
    """The server does not answer, and the client that was given would wait for ever."""
    proxy = proxied(one_server.port)
    limiter = side.make("Limiter", side.client(proxy.port), Limit(1, 60), prefix=name, deadline=0.2, on_error="open")
    proxy.hang()
    began = time.monotonic()
    assert limiter.check("u").reason == "error"
    assert time.monotonic() - began < PATIENCE


def test_a_check_is_not_sent_twice(side: Side, one_server: Server, name: str, proxied: Callable[[int], Proxy]) -> None:
    proxy = proxied(one_server.port)
    limiter = side.make("Limiter", side.client(proxy.port), Limit(10, 60), prefix=name, deadline=SLOW, on_error="open")
    proxy.drop_replies("RATELIMIT.CHECK", 1)
    assert limiter.check("u").reason == "error"
    assert limiter.peek("u", cost=0).remaining == 9


async def answer(app: Any, scope: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", **scope}, None, send)
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:])


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-mine", b"1")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_asgi(aclient: Any, name: str) -> None:
    limiter = aio.Limiter(aclient, Limit(2, 60), Limit(100, 3600), prefix=name, deadline=SLOW)
    app = asgi.RateLimitMiddleware(hello, limiter, names=["burst", "hourly"])
    scope = {"client": ("2001:db8::1", 1)}
    status, headers, body = await answer(app, scope)
    assert (status, body, headers["x-mine"]) == (200, b"hello", "1")
    assert headers["ratelimit-policy"] == '"burst";q=2;w=60,"hourly";q=100;w=3600'
    assert headers["ratelimit"].startswith('"burst";r=1;t=') and "retry-after" not in headers
    # Another address of the same /56 is the same subject; one outside of it is not.
    await answer(app, {"client": ("2001:db8:0:ff::2", 1)})
    status, headers, body = await answer(app, scope)
    assert status == 429 and headers["content-type"] == "application/problem+json"
    assert json.loads(body)["violated-policies"] == ["burst"]
    burst = headers["ratelimit"].split(",")[0]
    assert int(headers["retry-after"]) >= int(burst.split("t=")[1]) > 0
    assert (await answer(app, {"client": ("2001:db8:1::1", 1)}))[0] == 200
    # No subject, no limit.
    assert "ratelimit" not in (await answer(app, {"client": None}))[1]
    await limiter.close()


async def test_asgi_when_the_limiter_fails() -> None:
    client = redis.asyncio.Redis(port=free_port())
    for on_error, status in (("open", 200), ("closed", 503)):
        limiter = aio.Limiter(client, Limit(2, 60), deadline=SLOW, on_error=on_error)  # type: ignore[arg-type]
        app = asgi.RateLimitMiddleware(hello, limiter, key_func=lambda scope: "u")
        got, headers, _ = await answer(app, {})
        assert got == status and "ratelimit" not in headers and "retry-after" not in headers


def test_wsgi(client: redis.Redis, name: str) -> None:
    limiter = Limiter(client, Limit(1, 60), prefix=name, deadline=SLOW)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        assert environ["modq.check"].allowed
        start_response("200 OK", [("X-Mine", "1")])
        return [b"hello"]

    app = wsgi.RateLimitMiddleware(application, limiter, tell_subject=True)

    def ask() -> tuple[str, dict[str, str], bytes]:
        seen: list[Any] = []
        body = b"".join(app({"REMOTE_ADDR": "192.0.2.1"}, lambda line, headers: seen.append((line, dict(headers)))))
        return seen[0][0], seen[0][1], body

    line, headers, body = ask()
    assert (line, body, headers["X-Mine"]) == ("200 OK", b"hello", "1")
    assert headers["RateLimit-Policy"].startswith('"1-per-60s";q=1;w=60;pk=:') and "192" not in headers["RateLimit"]
    line, headers, body = ask()
    assert line == "429 Too Many Requests" and int(headers["Retry-After"]) > 0
    limiter.close()
