"""How payloads become bytes and back."""

from __future__ import annotations

import json
from typing import Any, Protocol, TypeVar

P = TypeVar("P")


class Codec(Protocol[P]):
    """What a queue needs to know of payloads. ``decode`` may raise anything: it becomes a ``PayloadError``."""

    def encode(self, payload: P, /) -> bytes: ...
    def decode(self, data: bytes, /) -> P: ...


class Bytes:
    """Payloads are bytes, and stay as they are."""

    def __repr__(self) -> str:
        return "modq.BYTES"

    def encode(self, payload: bytes, /) -> bytes:
        if isinstance(payload, (bytes, bytearray, memoryview)):
            return bytes(payload)
        kind = type(payload).__name__
        raise TypeError(
            f"a payload is bytes, not {kind}: give the queue a codec (modq.TEXT, modq.JSON) for other things"
        )

    def decode(self, data: bytes, /) -> bytes:
        return data


class Text:
    """Payloads are strings, in UTF-8."""

    def __repr__(self) -> str:
        return "modq.TEXT"

    def encode(self, payload: str, /) -> bytes:
        return payload.encode()

    def decode(self, data: bytes, /) -> str:
        return data.decode()


class Json:
    """Payloads are what JSON can hold, without spaces and in UTF-8."""

    def __repr__(self) -> str:
        return "modq.JSON"

    def encode(self, payload: Any, /) -> bytes:
        return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()

    def decode(self, data: bytes, /) -> Any:
        return json.loads(data)


BYTES = Bytes()
TEXT = Text()
JSON = Json()
