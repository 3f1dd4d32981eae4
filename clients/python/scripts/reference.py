"""Writes docs/reference.md, the API reference, from the docstrings and signatures of the package.

python scripts/reference.py          writes it
python scripts/reference.py --check  fails if it is not what would be written
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "src"))

import modq  # noqa: E402
import modq.asyncio  # noqa: E402
import modq.middleware.asgi  # noqa: E402
import modq.middleware.wsgi  # noqa: E402
import modq.types  # noqa: E402

TARGET = ROOT / "docs" / "reference.md"

HEAD = f"""# Reference of modq for Python

Written by `scripts/reference.py` from the docstrings; change those.
Version {modq.__version__}, for modules {modq.MODULE_VERSIONS}.

Everything here is in `modq`. `modq.asyncio` has the same classes for asyncio, with the same methods to `await` (iterators
with `async for`, blocks with `async with`). Durations are `timedelta` or seconds; times are aware `datetime` in UTC. Ids,
tags and texts are `str` or `bytes` on the way in and `str` on the way out (bytes that are no UTF-8 as lone surrogates).
"""

SECTIONS: list[tuple[str, list[Any]]] = [
    ("Queues", [modq.Queue, modq.Claim, modq.ShardedQueue]),
    ("Workers", [modq.Worker, modq.Options, modq.WorkClaim, modq.Presence]),
    ("Rate limits", [modq.Limiter, modq.Reservation, modq.mcheck, modq.Policies, modq.Leases, modq.Lease]),
    ("Middleware", [modq.middleware.asgi.RateLimitMiddleware, modq.middleware.wsgi.RateLimitMiddleware]),
    ("Boards", [modq.Board]),
    ("The event log", [modq.EventLog, modq.Event, modq.Fold]),
]


def doc(thing: Any, indent: str = "") -> str:
    return "\n".join(indent + line if line else line for line in (inspect.getdoc(thing) or "").splitlines())


def signature(thing: Any) -> str:
    found = inspect.signature(thing)
    kept = [parameter for name, parameter in found.parameters.items() if name != "self"]
    written = re.sub(r"<function (\w+) at \w+>", r"\1", str(found.replace(parameters=kept))).replace("<factory>", "…")
    # Annotations are strings here, and shown without their quotes; default values keep theirs.
    return re.sub(r"(: |-> )(['\"])(.*?)\2(?=[,)]| =|$)", r"\1\3", written).replace("Commands[", "Queue[")


def members(cls: Any) -> list[str]:
    lines = []
    for name, member in inspect.getmembers(cls):
        if name.startswith("_") or not inspect.getdoc(member):
            continue
        if isinstance(member, property):
            lines.append(f"- **`{name}`**: {' '.join(doc(member).split())}")
        elif inspect.isfunction(member) or inspect.ismethod(member):
            lines.append(f"- **`{name}{signature(member)}`**: {' '.join(doc(member).split())}")
    return lines


def described(thing: Any) -> str:
    name = f"{thing.__module__}.{thing.__name__}" if "middleware" in thing.__module__ else thing.__name__
    text = [f"### {name}", "", f"`{thing.__name__}{signature(thing)}`", "", doc(thing), ""]
    if inspect.isclass(thing):
        text += [*members(thing), ""]
    return "\n".join(text)


def options() -> str:
    """The fields of Options, by the comments above them."""
    lines, comment = [], []
    for line in inspect.getsource(modq.Options).splitlines():
        line = line.strip()
        if line.startswith("#:"):
            comment.append(line[2:].strip())
        elif ":" in line and comment:
            name = line.split(":")[0]
            default = line.partition(" = ")[2]
            lines.append(f"- **`{name}`**" + (f" (`{default}`)" if default else "") + f": {' '.join(comment)}")
            comment = []
    return "\n".join(lines)


def values() -> str:
    lines = ["## Values", "", "In `modq.types`.", ""]
    for name, thing in vars(modq.types).items():
        if not inspect.isclass(thing) or thing.__module__ != "modq.types":
            continue
        names = (
            [f.name for f in dataclasses.fields(thing)]
            if dataclasses.is_dataclass(thing)
            else list(getattr(thing, "_fields", ()))
        )
        own = inspect.getdoc(thing) or ""
        told = "" if own.startswith(f"{name}(") else " ".join(own.split())
        lines.append(f"- **`{name}`** ({', '.join(f'`{one}`' for one in names)}){': ' + told if told else ''}")
    return "\n".join(lines)


def exceptions() -> str:
    lines = ["## Errors", "", "In `modq` and `modq.errors`.", "", "| class | code | |", "|---|---|---|"]
    for name, thing in vars(modq.errors).items():
        if inspect.isclass(thing) and issubclass(thing, Exception) and thing.__module__ == "modq.errors":
            code = f"`{thing.code}`" if issubclass(thing, modq.ModqError) else ""
            lines.append(f"| `{name}` | {code} | {' '.join(doc(thing).split())} |")
    return "\n".join(lines)


def reference() -> str:
    text = [HEAD]
    for title, things in SECTIONS:
        text += [f"## {title}", ""]
        for thing in things:
            text.append(described(thing))
            if thing is modq.Options:
                text += [options(), ""]
    return "\n".join([*text, values(), "", exceptions(), ""])


def main() -> int:
    wanted = reference()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != wanted:
            print("docs/reference.md is not what scripts/reference.py writes")
            return 1
        return 0
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
