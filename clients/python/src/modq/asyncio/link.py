"""How commands reach the server: by the user's client, or over connections of our own where that one would not do.

The user's client is never changed and never closed. What is ours are copies of its settings: connections that wait, with
a time-out to fit, and connections that send nothing a second time by themselves.
"""

from __future__ import annotations

import asyncio
import weakref
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from redis import exceptions as redis_errors
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .. import errors
from .._wire import Command
from .nodes import ASYNC, OTHER, pool_of, ready

T = TypeVar("T")

#: What the user may give: a ``Redis`` (also of ``Sentinel.master_for``) or a ``RedisCluster``.
Client = Redis | RedisCluster

#: How long a BLOCK lasts at most; longer waits are several of them. The connection's time-out is two seconds more.
BLOCK = 5.0
#: The time-out of our own connections that do not wait.
REPLY = 5.0


def single(pool: Any, timeout: float, size: int | None) -> Any:
    """A client over a copy of ``pool``: the same server, TLS and credentials; no retries, and a time-out of its own."""
    kwargs = dict(pool.connection_kwargs)
    kwargs.pop("connection_pool", None)
    kwargs.pop("retry_on_timeout", None)
    kwargs["socket_timeout"] = timeout
    # redis-py 8 has one of 5 seconds by itself, which is longer than a limiter's deadline.
    kwargs["socket_connect_timeout"] = min(timeout, kwargs.get("socket_connect_timeout") or REPLY)
    kwargs["retry"] = Retry(NoBackoff(), 0)
    if hasattr(pool, "sentinel_manager"):
        kwargs["service_name"], kwargs["sentinel_manager"] = pool.service_name, pool.sentinel_manager
        kwargs["is_master"], kwargs["check_connection"] = pool.is_master, pool.check_connection
    # Nothing of ours waits for a free connection; and a pool that lets wait cannot end connections in use before redis-py 8.
    kind = ConnectionPool if isinstance(pool, BlockingConnectionPool) else type(pool)
    return Redis(connection_pool=kind(connection_class=pool.connection_class, max_connections=size or 2**16, **kwargs))


def retries(client: Any) -> bool:
    """Whether the client may send a command again by itself."""
    kwargs = client.connection_pool.connection_kwargs
    retry = kwargs.get("retry")
    return bool(kwargs.get("retry_on_timeout") or kwargs.get("retry_on_error") or getattr(retry, "_retries", 0))


class Line:
    """Connections of our own to where ``key`` lives. A command goes out once; what fails is told, and the connection
    discarded: whoever waits on it is then gone for the server too."""

    def __init__(self, client: Client, key: bytes, timeout: float, size: int | None = None) -> None:
        self._client = client
        self._key = key
        self._timeout = timeout
        self._size = size
        self._mine: Any = None

    async def client(self) -> Any:
        """A client over these connections."""
        if self._mine is None:
            if isinstance(self._client, RedisCluster):
                pool = await pool_of(self._client, self._key)
            else:
                pool = self._client.connection_pool
            self._mine = single(pool, self._timeout, self._size)
        return self._mine

    async def run(self, command: Command[T]) -> T:
        try:
            client = self._mine or await self.client()
            reply = await client.execute_command(*command.args, NEVER_DECODE=True)
        except redis_errors.ResponseError as error:
            if moved(error):
                return await self._redirected(command, error)
            raise errors.of(error) from None
        except BaseException as error:
            if self._size == 1:
                await self.drop()
            if isinstance(error, errors.LOST):
                await self._find_again()
            if (untrusted := errors.not_trusted(error)) is not None:
                raise untrusted from error
            raise
        return command.parse(reply)

    async def run_all(self, commands: list[Command[T]]) -> list[T | Exception]:
        """Sends them together; the answers, with errors in the places of what failed."""
        try:
            client = self._mine or await self.client()
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command.args, NEVER_DECODE=True)
            replies = await pipeline.execute(raise_on_error=False)
        except (redis_errors.RedisError, OSError) as error:
            await self._find_again()
            return [errors.of_any(error)] * len(commands)
        if any(isinstance(reply, Exception) and moved(reply) for reply in replies):
            await self._find_again()
        answers: list[T | Exception] = []
        for command, reply in zip(commands, replies, strict=True):
            failed = isinstance(reply, Exception)
            answers.append(errors.of_any(reply) if failed else command.parse(reply))
        return answers

    async def _redirected(self, command: Command[T], error: redis_errors.ResponseError) -> T:
        """The node did nothing: the cluster client follows to where the key is. A wait is not sent so, but asked anew."""
        await self._find_again()
        await self.drop()
        if not isinstance(self._client, RedisCluster) or "BLOCK" in command.args:
            raise errors.of(error) from None
        return command.parse(await to_node(self._client, command))

    async def _find_again(self) -> None:
        """In a cluster the key may live elsewhere by now. Who uses one of the old connections at the moment may end it."""
        if isinstance(self._client, RedisCluster):
            await self.drop()
            self._mine = None
            await refresh(self._client)

    async def drop(self) -> None:
        """Closes the connections that nobody uses, or, if there is but one, that; the next command makes new ones."""
        if self._mine is not None:
            await self._mine.connection_pool.disconnect(inuse_connections=self._size == 1)

    async def close(self) -> None:
        mine, self._mine = self._mine, None
        if mine is not None:
            await mine.connection_pool.disconnect()


def moved(error: BaseException) -> bool:
    """Whether a node of a cluster says that the key is not, or not only, with it."""
    words = ("MOVED", "ASK", "CLUSTERDOWN", "READONLY")
    kinds = (redis_errors.AskError, redis_errors.ClusterDownError, redis_errors.ReadOnlyError)
    return isinstance(error, kinds) or str(error).startswith(words)


async def node_name(client: Any, key: bytes) -> str:
    """Which node of the cluster has the key."""
    await ready(client)
    return str(client.get_node_from_key(key).name)


async def to_node(client: Any, command: Command[T]) -> Any:
    """With the node given, redis-py neither asks the server for the keys nor repeats; MOVED and ASK are followed."""
    await ready(client)
    node = client.get_node_from_key(command.keys[0])
    return await client.execute_command(*command.args, NEVER_DECODE=True, target_nodes=node)


async def refresh(client: Any) -> None:
    """Asks the cluster anew who has which slots. If nobody answers now, the next attempt asks again."""
    try:
        await client.nodes_manager.initialize()
    except (redis_errors.RedisError, OSError):
        await asyncio.sleep(0)


def check_kind(client: Any) -> None:
    """Only clients of this side: what the other gives for an answer is none."""
    execute = getattr(client, "execute_command", None)
    if not callable(execute):
        raise TypeError(f"not a client of redis-py: {type(client).__name__}")
    if iscoroutinefunction(execute) is not ASYNC:
        raise TypeError(f"{type(client).__module__}.{type(client).__name__} goes with the classes of {OTHER}")


class Link:
    """What the methods of queues, limiters and boards send their commands by: the user's client, except for commands
    that must not be sent twice. Those go over connections of our own, if the client is one that repeats by itself."""

    def __init__(self, client: Client) -> None:
        check_kind(client)
        self.client = client
        self.cluster = isinstance(client, RedisCluster)
        self._once: Any = None
        self._repeats = not self.cluster and retries(client)
        self._idle: list[Line] = []
        self._lines: weakref.WeakSet[Line] = weakref.WeakSet()

    async def run(self, command: Command[T]) -> T:
        try:
            return command.parse(await self._send(command))
        except redis_errors.ResponseError as error:
            raise errors.of(error) from None
        except redis_errors.ClusterError as error:
            # What redis-py says once TRYAGAIN, MOVED or ASK came too often.
            if "TTL exhausted" not in str(error):
                raise
            raise errors.TryAgain(str(error)) from error
        except errors.LOST as error:
            if (untrusted := errors.not_trusted(error)) is not None:
                raise untrusted from error
            raise

    async def _send(self, command: Command[T]) -> Any:
        client: Any = self.client
        if self.cluster:
            if command.keys and (len(command.keys) > 1 or not command.again):
                return await to_node(client, command)
        elif self._repeats and not command.again:
            client = self._once_client()
        return await client.execute_command(*command.args, NEVER_DECODE=True)

    def _once_client(self) -> Any:
        if self._once is None:
            client: Any = self.client
            pool = client.connection_pool
            timeout = pool.connection_kwargs.get("socket_timeout") or REPLY
            self._once = single(pool, timeout, None)
        return self._once

    async def wait(self, command: Command[T], key: bytes) -> T:
        """Sends what may block for up to ``BLOCK`` seconds, on a connection that nobody else uses meanwhile."""
        try:
            line = self._idle.pop()
        except IndexError:
            line = Line(self.client, key, BLOCK + 2, 1)
            self._lines.add(line)
        try:
            return await line.run(command)
        finally:
            self._idle.append(line)

    async def close(self) -> None:
        """Closes the connections that were made here, never the user's."""
        once, self._once = self._once, None
        if once is not None:
            await once.connection_pool.disconnect()
        for line in list(self._lines):
            await line.close()
        self._idle.clear()
