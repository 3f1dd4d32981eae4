"""A bot that decides what is clear and hands on what is not. SIGTERM ends it in good order.

    pip install ./clients/python
    python examples/bot-worker/bot.py

REDIS_URL names the server (default redis://127.0.0.1:6379). Items are JSON with "text"; submit some with

    redis-cli MODQ.SUBMIT review post:1 '{"text": "buy now at http://spam.example"}'
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import redis.asyncio

import modq
from modq.asyncio import Queue, WorkClaim

BAD = ("buy now", "free money")
log = logging.getLogger("bot")


def judge(text: str) -> str | None:
    """remove, keep, or None: a person has to look."""
    lower = text.lower()
    if any(words in lower for words in BAD):
        return "remove"
    return None if "http" in lower else "keep"


async def main() -> None:
    client = redis.asyncio.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
    queue = Queue(client, "review", codec=modq.JSON)
    people = Queue(client, "review:people", codec=modq.JSON)

    async def handle(claim: WorkClaim[Any]) -> None:
        try:
            decision = judge(claim.payload["text"])
        except (modq.PayloadError, KeyError, TypeError):
            decision = None  # not what a bot can read
        if decision is None:
            await claim.move(people, priority=claim.priority + 1)
        else:
            await claim.resolve(decision=decision)
        log.info("%s: %s", claim.item, decision or "to people")

    worker = queue.worker(handle, "bot", concurrency=int(os.environ.get("CONCURRENCY", "10")))
    worker.on("closed", lambda: log.info("closed"))
    try:
        await worker.run(handle_signals=True)
    finally:
        await client.connection_pool.disconnect()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(main())
