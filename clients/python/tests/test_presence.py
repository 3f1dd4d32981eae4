"""Presence on both sides: who joined is told of items, at once by a message and at the latest with a heartbeat."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio
from proxy import Proxy
from servers import PATIENCE, Server
from until import until

from modq import Presence, Queue
from modq import asyncio as aio


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_session_is_told(server: Server, name: str, protocol: int) -> None:
    client = redis.Redis(port=server.port, protocol=protocol)
    queue = Queue(client, name)
    submitted = threading.Event()

    def produce() -> None:
        with server.client() as own:
            for i in range(3):
                Queue(own, name).submit(f"post:{i}", b"text", tags=["en"])
        submitted.set()

    told = []
    with Presence(queue, "alice", ttl=60, tags=["en"], count=3) as presence:
        assert [waiter.moderator for waiter in queue.waiters()] == ["alice"]
        threading.Thread(target=produce).start()
        for claim in presence:
            told.append(claim.item)
            claim.resolve()
            if len(told) == 3:
                break
            presence._join()  # back in line at once; a heartbeat would do it later
    assert submitted.wait(PATIENCE)
    assert sorted(told) == ["post:0", "post:1", "post:2"]
    assert queue.waiters() == []


async def test_asyncio(server: Server, name: str) -> None:
    client = redis.asyncio.Redis(port=server.port)
    queue = aio.Queue(client, name)
    told: list[str] = []
    async with aio.Presence(queue, "alice", ttl=60, release=True) as presence:

        async def listen() -> None:
            async for claim in presence:
                told.append(claim.item)

        listening = asyncio.ensure_future(listen())
        await until(queue.waiters)
        await queue.submit("post:1", b"")
        await until(lambda: told == ["post:1"])
    await asyncio.wait_for(listening, PATIENCE)
    assert await queue.len("ready") == 1, "what was held is given back"
    await client.connection_pool.disconnect()


async def test_a_message_that_was_lost_is_made_up_for(
    one_server: Server, name: str, proxied: Callable[[int], Proxy]
) -> None:
    proxy = proxied(one_server.port)
    client: Any = redis.asyncio.Redis(port=proxy.port)
    told: list[str] = []
    async with aio.Presence(aio.Queue(client, name), "alice", ttl=1) as presence:

        async def listen() -> None:
            async for claim in presence:
                told.append(claim.item)
                await claim.resolve()

        listening = asyncio.ensure_future(listen())
        for i in range(3):
            proxy.cut()
            with one_server.client() as own:
                await until(lambda own=own: own.execute_command("MODQ.WAITERS", name))
                own.execute_command("MODQ.SUBMIT", name, f"post:{i}", "")
            await until(lambda i=i: len(told) == i + 1)
    await asyncio.wait_for(listening, PATIENCE)
    assert told == ["post:0", "post:1", "post:2"]
