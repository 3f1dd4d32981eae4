"""Rate limits: check, peek, reserve and refund, policies. With a deadline of its own, and a say in what its failure means."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

from redis.exceptions import RedisClusterException, RedisError

from .. import _ratelimit as ratelimit
from .._wire import Command, Duration, Text, raw, seconds
from ..errors import InvalidArgument, NoPolicy, WrongType
from ..types import Check, Limit, MultiCheck
from .link import Client, Line, Link, node_name
from .nodes import ready
from .timing import within

T = TypeVar("T")
log = logging.getLogger("modq")

_ZERO = timedelta()
List = list  # `list` is a method below


class Reservation:
    """Units that were charged; ``refund`` gives them back if they turn out not to be used."""

    def __init__(self, limiter: Limiter, subject: Text, id: str, check: Check) -> None:
        self._limiter = limiter
        self.subject = subject
        self.id = id
        self.check = check

    def __bool__(self) -> bool:
        return self.check.allowed

    async def refund(self) -> int:
        """How many units came back. Twice is once."""
        return await self._limiter.refund(self.subject, id=self.id) if self.check.allowed else 0


class Limiter:
    """Limits for many subjects: each subject (a user, an address, a token) is the key ``prefix + subject``.

    Give either ``limits`` or the name of a ``policy``. ``deadline`` is how long a check may take in all; when that is over,
    or the server cannot be asked, ``on_error`` decides: ``"open"`` lets the request in, ``"closed"`` does not, ``"raise"``
    raises. The checks go over connections of the limiter's own, which never repeat a command by themselves.
    """

    def __init__(
        self,
        client: Client,
        *limits: Limit,
        policy: Text | None = None,
        prefix: Text = "limit:",
        deadline: Duration = 0.1,
        on_error: Literal["open", "closed", "raise"] = "raise",
    ) -> None:
        if bool(limits) == (policy is not None):
            raise TypeError("give limits or a policy")
        if on_error not in ("open", "closed", "raise"):
            raise ValueError("on_error is open, closed or raise")
        self.limits = limits
        self.policy = policy
        self.prefix = raw(prefix)
        self.on_error = on_error
        self.link = Link(client)
        self._deadline = seconds(deadline)
        self._what = ["POLICY", raw(policy)] if policy is not None else ratelimit.limits_args(limits)
        self._lines: dict[str, Line] = {}

    def key(self, subject: Text) -> bytes:
        return self.prefix + raw(subject)

    async def close(self) -> None:
        """Closes the connections this object made, never yours."""
        for line in self._lines.values():
            await line.close()
        await self.link.close()

    async def _ask(self, command: Command[T]) -> T:
        """Within the deadline."""
        line = await self._line(command.keys[0])
        return await within(self._deadline, line.run(command))

    async def _line(self, key: bytes) -> Line:
        """Connections of our own: in a cluster some for each node."""
        name = await node_name(self.link.client, key) if self.link.cluster else ""
        if name not in self._lines:
            self._lines[name] = Line(self.link.client, key, self._deadline)
        return self._lines[name]

    async def _verdict(self, command: Command[Check], cost: int) -> Check:
        try:
            return await self._ask(command)
        except (NoPolicy, InvalidArgument, WrongType):  # mistakes of the program
            raise
        except (RedisError, RedisClusterException, OSError) as error:
            if self.on_error == "raise":
                raise
            log.warning("limiter %s: %s: %s", self.on_error, type(error).__name__, error)
            allowed = self.on_error == "open"
            return Check(allowed, 0, 0, None, _ZERO, cost if allowed else 0, reason="error", error=error)

    async def check(
        self,
        subject: Text,
        *,
        cost: int = 1,
        id: Text | None = None,
        partial: bool = False,
        detail: bool = False,
    ) -> Check:
        """RATELIMIT.CHECK: charges ``cost`` units to all limits if all admit them. With ``id`` a repeated request is
        charged once. The result is true if it was let in."""
        command = ratelimit.check(self.key(subject), self._what, cost=cost, id=id, partial=partial, detail=detail)
        return await self._verdict(command, cost)

    async def peek(self, subject: Text, *, cost: int = 1, partial: bool = False, detail: bool = False) -> Check:
        """RATELIMIT.PEEK: what ``check`` would answer; nothing is charged. Cost 0 shows the present."""
        command = ratelimit.check(self.key(subject), self._what, peek=True, cost=cost, partial=partial, detail=detail)
        return await self._verdict(command, cost)

    async def reserve(self, subject: Text, *, cost: int = 1) -> Reservation:
        """A check whose charge can be given back."""
        id = secrets.token_urlsafe(12)
        return Reservation(self, subject, id, await self.check(subject, cost=cost, id=id))

    async def refund(self, subject: Text, *, cost: int | None = None, id: Text | None = None) -> int:
        """RATELIMIT.REFUND of ``cost`` units, or of what the request ``id`` was charged: how many came back."""
        return await self.link.run(ratelimit.refund(self.key(subject), cost, id))

    async def reset(self, subject: Text) -> bool:
        """RATELIMIT.RESET: forgets everything about the subject; whether there was something."""
        return await self.link.run(ratelimit.reset(self.key(subject)))

    async def block(self, subject: Text, duration: Duration) -> None:
        """RATELIMIT.BLOCK: denies everything for that long; 0 lifts it."""
        await self.link.run(ratelimit.block(self.key(subject), duration))

    async def block_until_ready(self, subject: Text, *, cost: int = 1, timeout: Duration | None = None) -> Check:
        """Waits until the request is let in, at most ``timeout``; the last answer. What can never fit is answered at once."""
        end = None if timeout is None else time.monotonic() + seconds(timeout)
        while True:
            check = await self.check(subject, cost=cost)
            if check.allowed or check.retry_after is None:
                return check
            pause = check.retry_after.total_seconds()
            if end is not None and time.monotonic() + pause > end:
                return check
            await asyncio.sleep(pause)


async def mcheck(client: Client, subjects: Sequence[tuple[Text, Limit]], *, cost: int = 1) -> MultiCheck:
    """RATELIMIT.MCHECK: one request against several keys, a limit for each; charged to all or none. In a cluster the keys
    must be in one slot."""
    keys = [raw(key) for key, _ in subjects]
    return await Link(client).run(ratelimit.mcheck(keys, [limit for _, limit in subjects], cost))


class Policies:
    """Named lists of limits, which belong to the server. In a cluster every primary is told."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client
        self.link = Link(client)

    async def set(self, name: Text, *limits: Limit) -> None:
        """RATELIMIT.POLICY SET."""
        await self._everywhere(ratelimit.policy_set(name, limits))

    async def get(self, name: Text) -> List[Limit] | None:
        """RATELIMIT.POLICY GET: the limits, or None."""
        return await self._somewhere(ratelimit.policy_get(name))

    async def delete(self, name: Text) -> bool:
        """RATELIMIT.POLICY DEL: whether there was one."""
        found = await self._everywhere(ratelimit.policy_del(name))
        return any(found)

    async def list(self) -> List[str]:
        """RATELIMIT.POLICY LIST."""
        return await self._somewhere(ratelimit.policy_list())

    async def _everywhere(self, command: Command[T]) -> List[T]:
        if not self.link.cluster:
            return [await self.link.run(command)]
        await ready(self._client)
        answers = []
        for node in self._client.get_primaries():
            reply = await self._client.execute_command(*command.args, NEVER_DECODE=True, target_nodes=node)
            answers.append(command.parse(reply))
        return answers

    async def _somewhere(self, command: Command[T]) -> T:
        if not self.link.cluster:
            return await self.link.run(command)
        await ready(self._client)
        node = self._client.get_primaries()[0]
        reply = await self._client.execute_command(*command.args, NEVER_DECODE=True, target_nodes=node)
        return command.parse(reply)
