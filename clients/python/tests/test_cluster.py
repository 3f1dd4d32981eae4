"""In a cluster: every command finds its node, workers follow a slot that moves, a sharded queue is worked off whole."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.crc import key_slot
from servers import PATIENCE, Server, cluster, wait_until
from sides import Side
from test_worker_sync import running
from until import until

from modq import Limit, Presence, Queue, ShardedQueue, mcheck
from modq import asyncio as aio


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Server]]:
    made = cluster()
    yield made
    for node in made:
        node.stop()


@pytest.fixture
def cluster_client(side: Side, nodes: list[Server]) -> Any:
    return side.client(nodes[0].port, "RedisCluster")


@pytest.fixture
def threads(nodes: list[Server]) -> Iterator[redis.RedisCluster]:
    client = redis.RedisCluster(host="127.0.0.1", port=nodes[0].port)
    yield client
    client.close()


def test_every_kind_of_command(side: Side, cluster_client: Any, name: str) -> None:
    for i in range(6):
        queue = side.make("Queue", cluster_client, f"{name}:{i}")
        assert queue.submit("post:1", b"text") == "READY"
        [claim] = queue.claim("alice", block=1)
        assert claim.resolve().confirmed
        assert queue.submit("post:2", b"") == "READY"
        [claim] = queue.claim("alice", new=True)
        claim.release(skip=True)
        limiter = side.make("Limiter", cluster_client, Limit(1, 60), prefix=f"limit:{name}:", deadline=PATIENCE)
        assert limiter.check(str(i)) and not limiter.check(str(i))
    one, two = (side.make("Queue", cluster_client, f"{{{name}}}:{i}") for i in range(2))
    two.submit("post:1", b"")
    [claim] = one.mclaim([two], "alice")
    assert claim.item == "post:1"
    claim.move(one)
    assert one.len() == 1 and two.len() == 0


def test_policies_are_told_to_every_primary(side: Side, cluster_client: Any, nodes: list[Server], name: str) -> None:
    policies = side.make("Policies", cluster_client)
    policies.set(name, Limit(5, 60))
    assert policies.get(name) == [Limit(5, policies.get(name)[0].window)]
    for node in nodes:
        with node.client() as client:
            assert client.execute_command("RATELIMIT.POLICY", "LIST") == [name.encode()]
    assert policies.delete(name) is True and policies.list() == []


def test_several_subjects(threads: redis.RedisCluster, name: str) -> None:
    assert mcheck(threads, [(f"{{{name}}}:a", Limit(1, 60)), (f"{{{name}}}:b", Limit(1, 60))])


def test_a_sharded_queue(side: Side, cluster_client: Any, threads: redis.RedisCluster, name: str) -> None:
    sharded = side.make("ShardedQueue", cluster_client, name, shards=5)
    for i in range(60):
        assert sharded.submit(f"post:{i}", b"text") == "READY"
    assert sharded.len() == 60
    assert all(queue.len() > 0 for queue in sharded.shards)
    assert sharded.get("post:3").state == "ready"
    seen: Counter[str] = Counter()

    def handler(claim: Any) -> None:
        seen[claim.item] += 1
        claim.resolve()

    workers = ShardedQueue(threads, name, shards=5)
    with running(workers.worker(handler, "bot", concurrency=3)):
        wait_until(lambda: workers.len() == 0)
        workers.submit("post:late", b"")
        wait_until(lambda: seen["post:late"] == 1)
    assert seen == Counter([*(f"post:{i}" for i in range(60)), "post:late"])
    assert all(queue.waiters() == [] for queue in workers.shards)


async def test_asyncio_workers_follow_too(nodes: list[Server], threads: redis.RedisCluster, name: str) -> None:
    """A sharded queue and one whose slot moves while workers are at it."""
    client = redis.asyncio.RedisCluster(host="127.0.0.1", port=nodes[0].port)
    plain, sharded = aio.Queue(client, name), aio.ShardedQueue(client, f"{name}:s", shards=3)
    for i in range(60):
        await plain.submit(f"post:{i}", b"")
        await sharded.submit(f"post:{i}", b"")
    seen: Counter[str] = Counter()

    async def handler(claim: aio.WorkClaim[bytes]) -> None:
        await asyncio.sleep(0.005)
        if (await claim.resolve()).confirmed:
            seen[claim.queue.name] += 1

    workers = [plain.worker(handler, "bot", lock_duration=5), sharded.worker(handler, "bot", concurrency=2)]
    runs = [asyncio.ensure_future(worker.run()) for worker in workers]
    await until(lambda: seen[name] >= 10)
    await asyncio.to_thread(move_slot, nodes, key_slot(name.encode()), name)
    await until(lambda: seen[name] == 60)
    await until(lambda: sum(seen[queue.name] for queue in sharded.shards) == 60)
    await asyncio.gather(*(worker.close() for worker in workers))
    await asyncio.gather(*runs)
    assert await plain.len() == 0 and await sharded.len() == 0
    await client.aclose()


def test_fair_turns(threads: redis.RedisCluster, name: str) -> None:
    """A shard with much to do does not keep the others waiting."""
    sharded = ShardedQueue(threads, name, shards=3)
    for i, queue in enumerate(sharded.shards):
        for n in range(10 if i == 0 else 2):
            queue.submit(f"{i}:{n}", b"")
    order = []
    for claim in sharded.work("bot"):
        order.append(int(claim.item[0]))
        claim.resolve()
        if len(order) == 6:
            break
    assert sorted(order) == [0, 0, 1, 1, 2, 2]


def test_presence_hears_sharded_messages(threads: redis.RedisCluster, name: str) -> None:
    queue = Queue(threads, name)
    with Presence(queue, "alice", ttl=60) as presence:
        threading.Timer(0.2, lambda: queue.submit("post:1", b"")).start()
        for claim in presence:
            assert claim.item == "post:1"
            break


def move_slot(nodes: list[Server], slot: int, key: str) -> None:
    """Gives a slot, with the one key in it, to another node."""
    with nodes[0].client() as any_node:
        owner = next(row[2] for row in any_node.execute_command("CLUSTER SLOTS") if row[0] <= slot <= row[1])
    source = next(node for node in nodes if node.port == owner[1])
    target = next(node for node in nodes if node is not source)
    with source.client() as a, target.client() as b:
        ids = [client.execute_command("CLUSTER MYID") for client in (a, b)]
        b.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        a.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        a.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        for node in nodes:
            with node.client() as client:
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])


def test_a_worker_follows_its_queue(nodes: list[Server], threads: redis.RedisCluster, name: str) -> None:
    queue = Queue(threads, name)
    for i in range(100):
        queue.submit(f"post:{i}", b"")
    seen: Counter[str] = Counter()

    def handler(claim: Any) -> None:
        if claim.resolve().confirmed:
            seen[claim.item] += 1

    with running(queue.worker(handler, "bot", concurrency=2, lock_duration=5)):
        wait_until(lambda: len(seen) >= 20)
        move_slot(nodes, key_slot(name.encode()), name)
        wait_until(lambda: len(seen) == 100)
    assert set(seen.values()) == {1}
