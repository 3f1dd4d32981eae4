"""Rate limits for ASGI applications: FastAPI, Starlette, Quart, Django."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from ..asyncio.limiter import Limiter
from . import address_key, check_limiter, verdict

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Whose request it is; None: it is not limited. May be async.
KeyFunc = Callable[[Scope], Any]


def client_address(scope: Scope) -> str | None:
    """The address of the connection; IPv6 by its /56. Behind a proxy let the server set it from what the proxy says."""
    client = scope.get("client")
    return address_key(client[0]) if client else None


class RateLimitMiddleware:
    """``app.add_middleware(RateLimitMiddleware, limiter=Limiter(…, on_error="open"), key_func=…)``.

    ``names`` are those of the limits in the header fields, in their order. With ``tell_subject`` they carry a hash of the
    subject as ``pk``. The application finds the verdict in ``scope["modq.check"]``.
    """

    def __init__(
        self,
        app: App,
        limiter: Limiter,
        *,
        key_func: KeyFunc = client_address,
        cost: int | Callable[[Scope], int] = 1,
        names: Sequence[str] | None = None,
        tell_subject: bool = False,
    ) -> None:
        check_limiter(limiter, names, asynchronous=True)
        self.app = app
        self.limiter = limiter
        self.key_func = key_func
        self.cost = cost
        self.names = names
        self.tell_subject = tell_subject

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        subject = await self._subject(scope) if scope["type"] == "http" else None
        if subject is None:
            await self.app(scope, receive, send)
            return
        cost = self.cost(scope) if callable(self.cost) else self.cost
        check = await self.limiter.check(subject, cost=cost, detail=True)
        scope["modq.check"] = check
        fields, status, body = verdict(check, self.names, subject if self.tell_subject else None)
        headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in fields]
        if status is not None:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return

        async def with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self.app(scope, receive, with_fields)

    async def _subject(self, scope: Scope) -> str | None:
        key = self.key_func(scope)
        if inspect.isawaitable(key):
            key = await key
        return None if key is None else str(key)
