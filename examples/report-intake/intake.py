"""Takes in reports about messages, as a chat service does, and lets moderators work them off over HTTP.

    pip install ./clients/python
    python examples/report-intake/intake.py 8000

    POST /reports   {"message": "m1", "channel": "c1", "text": "…", "reporter": "u1", "reason": "spam"}
    POST /next      {"moderator": "alice"}                   the next message to look at, the most reported first
    POST /decide    {"message": "m1", "token": …, "decision": "remove"}

A message is one item, however many report it: each further report counts and raises its priority. Whoever reports the same
message again is not counted again, and nobody may report more than 5 messages a minute. REDIS_URL names the server.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import redis

import modq

URGENT = {"self-harm": 100, "threat": 50}


class Intake:
    def __init__(self, client: redis.Redis) -> None:
        self.queue = modq.Queue(client, "reports", codec=modq.JSON)
        self.reporters = modq.Limiter(client, modq.Limit(5, 60), prefix="reporter:", deadline=1.0, on_error="open")
        # One report of a message by one person in a day: the subject is both.
        self.once = modq.Limiter(
            client, modq.Limit(1, 86400, "fixed"), prefix="reported:", deadline=1.0, on_error="open"
        )

    def report(self, asked: dict[str, Any]) -> tuple[int, Any]:
        message, reporter = asked["message"], asked["reporter"]
        if not self.once.check(f"{message}:{reporter}"):
            return 200, {"status": "counted before"}
        if not (check := self.reporters.check(reporter)):
            self.once.reset(f"{message}:{reporter}")
            wait = 60 if check.retry_after is None else int(check.retry_after.total_seconds()) + 1
            return 429, {"status": "too many reports", "retry_after": wait}
        item = self.queue.get(message)
        reports = 0 if item is None else item.reports
        priority = URGENT.get(asked.get("reason", ""), 0) + reports
        payload = {"text": asked["text"], "channel": asked["channel"]}
        try:
            # The author does not judge their own message, should they be a moderator.
            status = self.queue.submit(
                message,
                payload,
                priority=priority,
                exclude=[asked["author"]] if "author" in asked else None,
                ondup="bump",
            )
        except modq.errors.LOST:
            # Nobody knows if it was counted. One report too few is better than one person counted twice.
            return 202, {"status": "unknown"}
        return 200, {"status": status}

    def next(self, asked: dict[str, Any]) -> tuple[int, Any]:
        """Asked again before deciding, it is the same message: a page may be loaded anew."""
        claims = self.queue.claim(asked["moderator"], lock=600)
        if not claims:
            return 204, None
        claim = claims[0]
        item = self.queue.get(claim.item)
        reports = 1 if item is None else item.reports
        return 200, {"message": claim.item, "token": claim.token, "reports": reports, **claim.payload}

    def decide(self, asked: dict[str, Any]) -> tuple[int, Any]:
        try:
            done = self.queue.resolve(asked["message"], asked["token"], decision=asked["decision"])
        except (modq.Stale, modq.NoItem):
            return 409, {"status": "somebody else has it, or it is decided"}
        return 200, {"status": done.status, "confirmed": done.confirmed}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        routes = {"/reports": self.report, "/next": self.next, "/decide": self.decide}
        route = routes.get(environ["PATH_INFO"])
        if route is None or environ["REQUEST_METHOD"] != "POST":
            status, answer = 404, {"status": "not found"}
        else:
            try:
                asked = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
                status, answer = route(asked)
            except (KeyError, TypeError, ValueError) as error:
                status, answer = 400, {"status": f"bad request: {error}"}
        body = b"" if answer is None else json.dumps(answer).encode()
        start_response(f"{status} -", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """One line for each request is not what an example has to say."""


def main() -> None:
    client = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with make_server("127.0.0.1", port, Intake(client), handler_class=Quiet) as server:  # type: ignore[arg-type]
        print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
