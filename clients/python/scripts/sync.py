"""Writes the sync side, src/modq/_sync, from the asyncio side: the same methods without async and await.

    python scripts/sync.py          writes the files
    python scripts/sync.py --check  fails if they are not what would be written

The loops of workers are not written so: threads and tasks are different things. Each side has its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "modq"
FILES = ("link.py", "queue.py", "limiter.py", "lease.py", "board.py", "events.py", "presence.py", "sharded.py")

WORDS = [
    (r"\basync def\b", "def"),
    (r"\basync with\b", "with"),
    (r"\basync for\b", "for"),
    (r"\bawait ", ""),
    (r"\bredis\.asyncio\.retry\b", "redis.retry"),
    (r"\bredis\.asyncio\b", "redis"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\bimport asyncio\b", "import time"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"__aiter__", "__iter__"),
    (r"__anext__", "__next__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncGenerator\b", "Generator"),
    (r"\bmodq\.asyncio\b", "modq"),
    (r"\(pubsub\.aclose\(\) if hasattr\(pubsub, \"aclose\"\) else pubsub\.close\(\)\)", "pubsub.close()"),
    (r"\baclose\b", "close"),
]


def sync_of(name: str) -> str:
    source = (SOURCE / "asyncio" / name).read_text()
    source = re.sub(r"(?m)^.*# asyncio only\n", "", source)
    for pattern, word in WORDS:
        source = re.sub(pattern, word, source)
    note = f"# Written by scripts/sync.py from modq/asyncio/{name}: change that.\n"
    return formatted(note + source)


def formatted(source: str) -> str:
    name = ["--stdin-filename", str(SOURCE / "_sync" / "link.py"), "-"]
    for command in (["check", "--fix", "--select", "I", "--quiet", *name], ["format", *name]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command], input=source, capture_output=True, text=True, check=True
        )
        source = done.stdout
    return source


def main() -> int:
    stale = []
    for name in FILES:
        if not (SOURCE / "asyncio" / name).exists():
            continue
        target = SOURCE / "_sync" / name
        wanted = sync_of(name)
        if target.exists() and target.read_text() == wanted:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            target.write_text(wanted)
    if stale and "--check" in sys.argv:
        print(f"src/modq/_sync is not what scripts/sync.py writes: {', '.join(stale)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
