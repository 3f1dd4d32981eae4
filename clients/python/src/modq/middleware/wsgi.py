"""Rate limits for WSGI applications: Flask, Django, Pyramid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

from .._sync.limiter import Limiter
from . import address_key, check_limiter, verdict

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
#: Whose request it is; None: it is not limited.
KeyFunc = Callable[[Environ], Any]


def client_address(environ: Environ) -> str | None:
    """The address of the connection; IPv6 by its /56. Behind a proxy let the server set it from what the proxy says."""
    address = environ.get("REMOTE_ADDR")
    return address_key(address) if address else None


class RateLimitMiddleware:
    """``app.wsgi_app = RateLimitMiddleware(app.wsgi_app, Limiter(…, on_error="open"), key_func=…)``.

    ``names`` are those of the limits in the header fields, in their order. With ``tell_subject`` they carry a hash of the
    subject as ``pk``. The application finds the verdict in ``environ["modq.check"]``.
    """

    def __init__(
        self,
        app: App,
        limiter: Limiter,
        *,
        key_func: KeyFunc = client_address,
        cost: int | Callable[[Environ], int] = 1,
        names: Sequence[str] | None = None,
        tell_subject: bool = False,
    ) -> None:
        check_limiter(limiter, names, asynchronous=False)
        self.app = app
        self.limiter = limiter
        self.key_func = key_func
        self.cost = cost
        self.names = names
        self.tell_subject = tell_subject

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        key = self.key_func(environ)
        if key is None:
            return self.app(environ, start_response)
        subject = str(key)
        cost = self.cost(environ) if callable(self.cost) else self.cost
        check = self.limiter.check(subject, cost=cost, detail=True)
        environ["modq.check"] = check
        fields, status, body = verdict(check, self.names, subject if self.tell_subject else None)
        if status is not None:
            start_response(f"{status} {HTTPStatus(status).phrase}", fields)
            return [body]

        def with_fields(line: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(line, [*headers, *fields], *more)

        return self.app(environ, with_fields)
