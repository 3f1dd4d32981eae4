"""Rate limits in front of web applications: ``modq.middleware.asgi`` and ``modq.middleware.wsgi``.

Both set ``RateLimit-Policy`` and ``RateLimit`` (IETF draft) on every response they let through or refuse, refuse with
429, ``Retry-After`` and a body of ``application/problem+json``, and answer 503 where the limiter itself fails and is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import iscoroutinefunction
from typing import Any

from .._headers import address_key, default_names, header_fields, partition, problem
from ..types import Check


def check_limiter(limiter: Any, names: Sequence[str] | None, *, asynchronous: bool) -> None:
    """Tells when the application starts what would else fail with each request."""
    if iscoroutinefunction(limiter.check) is not asynchronous:
        raise TypeError(f"this middleware takes a Limiter of {'modq.asyncio' if asynchronous else 'modq'}")
    limits = getattr(limiter, "limits", ())
    if names is not None and limits and len(names) != len(limits):
        raise ValueError(f"{len(names)} names for {len(limits)} limits")


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
