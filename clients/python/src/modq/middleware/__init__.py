"""Rate limits in front of web applications: ``modq.middleware.asgi`` and ``modq.middleware.wsgi``.

Both set ``RateLimit-Policy`` and ``RateLimit`` (IETF draft) on every response they let through or refuse, refuse with
429, ``Retry-After`` and a body of ``application/problem+json``, and answer 503 where the limiter itself fails and is closed.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._headers import address_key, default_names, header_fields, partition, problem
from ..types import Check


def verdict(
    check: Check, names: Sequence[str] | None, subject: str | None
) -> tuple[list[tuple[str, str]], int | None, bytes]:
    """The header fields; and, for a refusal, its status and body."""
    named = list(names) if names is not None else default_names(check.limits)
    if check.limits and len(named) != len(check.limits):
        raise ValueError(f"{len(named)} names for {len(check.limits)} limits")
    fields = header_fields(named, check, None if subject is None else partition(subject))
    if check.allowed:
        return fields, None, b""
    body = problem(named, check)
    status = 503 if check.reason == "error" else 429
    fields += [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    return fields, status, body


__all__ = ["address_key", "verdict"]
