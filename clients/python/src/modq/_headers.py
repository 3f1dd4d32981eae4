"""Rate limit header fields of the IETF draft (draft-ietf-httpapi-ratelimit-headers), and the body of a 429."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import math
from collections.abc import Sequence
from datetime import timedelta

from .types import Check, LimitState


def quoted(name: str) -> str:
    """A string of structured fields: printable ASCII, quotes and backslashes escaped."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in name)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def whole(duration: timedelta) -> int:
    """Seconds, rounded up: coming back then is never too early."""
    return math.ceil(duration / timedelta(seconds=1))


def partition(key: str | bytes) -> str:
    """A partition key: which subject is counted, as a byte sequence that does not tell who it is."""
    data = key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")
    return ":" + base64.b64encode(hashlib.sha256(data).digest()[:9]).decode() + ":"


def policy_field(names: Sequence[str], states: Sequence[LimitState], pk: str | None = None) -> str:
    tail = f";pk={pk}" if pk else ""
    items = [
        f"{quoted(name)};q={state.quota};w={max(1, whole(state.window))}{tail}"
        for name, state in zip(names, states, strict=True)
    ]
    return ",".join(items)


def limit_field(names: Sequence[str], states: Sequence[LimitState], pk: str | None = None) -> str:
    """``t`` is the time until additional quota comes; left out while nothing is used."""
    items = []
    for name, state in zip(names, states, strict=True):
        t = f";t={whole(state.next_after)}" if state.next_after else ""
        items.append(f"{quoted(name)};r={state.remaining}{t}" + (f";pk={pk}" if pk else ""))
    return ",".join(items)


def retry_after(check: Check) -> int | None:
    """Seconds to wait after a denial, not less than any ``t`` of a violated limit; None if waiting never helps."""
    if check.allowed or check.retry_after is None:
        return None
    violated = [whole(state.next_after) for state in check.limits if state.violated]
    return max(1, whole(check.retry_after), *violated)


def header_fields(names: Sequence[str], check: Check, pk: str | None = None) -> list[tuple[str, str]]:
    """All that a response says of the limits it was let in, or refused, by. Nothing where no limiter answered."""
    fields = []
    if check.limits:
        fields.append(("RateLimit-Policy", policy_field(names, check.limits, pk)))
        fields.append(("RateLimit", limit_field(names, check.limits, pk)))
    seconds = retry_after(check)
    if seconds is not None:
        fields.append(("Retry-After", str(seconds)))
    return fields


def problem(names: Sequence[str], check: Check) -> bytes:
    """The body of a refusal: application/problem+json."""
    if check.reason == "error":
        return json.dumps({"title": "Rate limiter unavailable", "status": 503}).encode()
    violated = [name for name, state in zip(names, check.limits, strict=False) if state.violated]
    body = {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "violated-policies": violated,
    }
    return json.dumps(body).encode()


def default_names(states: Sequence[LimitState]) -> list[str]:
    """Names for limits that were given none: ``100-per-60s``."""
    return [f"{state.quota}-per-{whole(state.window)}s" for state in states]


def address_key(address: str) -> str:
    """The subject that an address stands for: an IPv4 address itself, of IPv6 the /56 that one customer has."""
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 56), strict=False))
    return str(parsed)
