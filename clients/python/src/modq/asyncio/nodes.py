"""The nodes of a cluster, as redis-py's asyncio client has them."""

from __future__ import annotations

from typing import Any

from redis.asyncio import ConnectionPool

#: Whether the methods of this side's clients have to be awaited.
ASYNC = True
#: Where the classes for the other clients are.
OTHER = "modq"


async def ready(client: Any) -> None:
    """Knows who has which slots: the asyncio client asks with its first command."""
    await client.initialize()


async def pool_of(client: Any, key: bytes) -> Any:
    """What a connection to the node that has the key needs to know, as a pool."""
    await ready(client)
    node = client.get_node_from_key(key)
    return ConnectionPool(connection_class=node.connection_class, **node.connection_kwargs)
