"""The nodes of a cluster, as redis-py's ordinary client has them."""

from __future__ import annotations

from typing import Any

#: Whether the methods of this side's clients have to be awaited.
ASYNC = False
#: Where the classes for the other clients are.
OTHER = "modq.asyncio"


def ready(client: Any) -> None:
    """The ordinary client knows who has which slots from its beginning."""


def pool_of(client: Any, key: bytes) -> Any:
    """What a connection to the node that has the key needs to know, as a pool."""
    return client.get_redis_connection(client.get_node_from_key(key)).connection_pool
