"""An API with limits: by address for everybody, by user for comments, and at most two exports at once.

    pip install fastapi uvicorn ./clients/python
    uvicorn --app-dir examples/fastapi app:app

REDIS_URL names the server (default redis://127.0.0.1:6379).
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from fastapi import Depends, FastAPI, Header, HTTPException

import modq
from modq.asyncio import Leases, Limiter, Queue
from modq.middleware.asgi import RateLimitMiddleware

client = redis.asyncio.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
queue = Queue(client, "review", codec=modq.JSON)
# A site that is up without its limiter is better than one that is down: open. Who logs in by password would say closed.
by_address = Limiter(client, modq.Limit(20, 1), modq.Limit(600, 60, "gcra"), prefix="address:", on_error="open")
by_user = Limiter(client, modq.Limit(3, 60), prefix="comments:", on_error="open")
exports = Leases(client, "exports", max=2)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.gather(queue.close(), by_address.close(), by_user.close(), exports.close())
    await client.connection_pool.disconnect()


app = FastAPI(lifespan=lifespan)
app.add_middleware(RateLimitMiddleware, limiter=by_address, names=["burst", "steady"])


async def within_quota(x_user: str = Header()) -> str:
    check = await by_user.check(x_user)
    if not check:
        wait = {} if check.retry_after is None else {"Retry-After": str(math.ceil(check.retry_after.total_seconds()))}
        raise HTTPException(429, "too many comments", headers=wait)
    return x_user


@app.post("/comments/{comment}")
async def comment(comment: str, text: str, user: str = Depends(within_quota)) -> dict[str, str]:
    """Every comment is published, and reviewed: new ones of one author one after the other."""
    status = await queue.submit(f"comment:{comment}", {"text": text, "author": user})
    return {"status": status}


@app.get("/export")
async def export() -> dict[str, int]:
    """What takes long may be done twice at once, and no more."""
    try:
        async with exports.hold(ttl=30):
            await asyncio.sleep(float(os.environ.get("EXPORT_SECONDS", "1")))
            return {"waiting": await queue.len()}
    except modq.NoRoom:
        raise HTTPException(503, "two exports are running", headers={"Retry-After": "1"}) from None
