"""Keys, hash tags and slots: where announcements are heard, and which shard has an item."""

from __future__ import annotations

import binascii
from itertools import count

from redis.crc import key_slot

from ._wire import Text, raw


def hash_tag(key: bytes) -> bytes | None:
    """What stands between the first brace and the next closing one, if anything does."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else None


def channel(key: bytes, moderator: Text) -> bytes:
    """The channel on which a moderator of a queue is told of items; it is in the slot of the queue's key."""
    if hash_tag(key) is not None:
        where = key
    elif key and b"}" not in key:
        where = b"{" + key + b"}"
    else:
        slot = key_slot(key)
        tag = next(n for n in count() if key_slot(str(n).encode()) == slot)
        where = b"{%d}:%s" % (tag, key)
    return b"modq:" + where + b":" + raw(moderator)


def shard_key(name: bytes, shard: int) -> bytes:
    """``review`` has shards ``review:{0}``, ``review:{1}`` …: hash tags that lie in different slots."""
    return b"%s:{%d}" % (name, shard)


def shard_of(item: Text, shards: int) -> int:
    """Which shard has an item: CRC-16 of its id (the one Redis takes for slots), modulo. The library for Node does the same."""
    return binascii.crc_hqx(raw(item), 0) % shards
