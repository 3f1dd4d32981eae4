"""The programs under examples/, each started and driven; and what the README shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import PATIENCE, ROOT, Server, free_port, wait_until

EXAMPLES = ROOT / "examples"
SOURCE = Path(__file__).parent.parent / "src"


@contextmanager
def program(server: Server, *command: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    everything = {**os.environ, "PYTHONPATH": str(SOURCE), "REDIS_URL": server.url, **env}
    process = subprocess.Popen(
        [sys.executable, *command], env=everything, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
        print(out.decode())


def ask(url: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
    data = None if body is None else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            status, raw, fields = answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        status, raw, fields = error.code, error.read(), dict(error.headers)
    return status, json.loads(raw) if raw else None, {name.lower(): value for name, value in fields.items()}


def up(url: str) -> Callable[[], bool]:
    def reached() -> bool:
        try:
            ask(url)
        except urllib.error.URLError as error:
            raise OSError(error) from error
        return True

    return reached


@pytest.fixture
def alone(own: Callable[..., Server]) -> Server:
    return own("redis-7.0")


def test_fastapi(alone: Server) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    directory = str(EXAMPLES / "fastapi")
    serve = ("-m", "uvicorn", "--app-dir", directory, "--port", str(port), "--log-level", "warning", "app:app")
    with program(alone, *serve, EXPORT_SECONDS="2"):
        wait_until(up(f"{base}/nothing"), "it listens")
        for i in range(3):
            status, answer, fields = ask(f"{base}/comments/{i}?text=hello", method="POST", x_user="alice")
            assert (status, answer) == (200, {"status": "READY"})
            assert fields["ratelimit-policy"] == '"burst";q=20;w=1,"steady";q=600;w=60'
            assert fields["ratelimit"].startswith('"burst";r=')
        status, _, fields = ask(f"{base}/comments/9?text=hello", method="POST", x_user="alice")
        assert status == 429 and 0 < int(fields["retry-after"]) <= 60
        assert ask(f"{base}/comments/9?text=hello", method="POST", x_user="bob")[0] == 200
        statuses: list[int] = []
        threads = [threading.Thread(target=lambda: statuses.append(ask(f"{base}/export")[0])) for _ in range(3)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(PATIENCE)
        assert sorted(statuses) == [200, 200, 503]


def test_bot_worker(alone: Server) -> None:
    texts = {"post:1": "buy NOW", "post:2": "hello", "post:3": "see http://x", "post:4": None}
    with alone.client() as client, program(alone, str(EXAMPLES / "bot-worker" / "bot.py")) as bot:
        for item, text in texts.items():
            client.execute_command("MODQ.SUBMIT", "review", item, b"{" if text is None else json.dumps({"text": text}))
        wait_until(lambda: client.execute_command("MODQ.LEN", "review:people") == 2)
        wait_until(lambda: client.execute_command("MODQ.LEN", "review") == 0)
        bot.send_signal(signal.SIGTERM)
        assert bot.wait(PATIENCE) == 0
        assert bot.stdout is not None
        said = bot.stdout.read().decode().splitlines()
        assert sorted(said) == ["closed", "post:1: remove", "post:2: keep", "post:3: to people", "post:4: to people"]
        assert client.execute_command("MODQ.WAITERS", "review") == []


def test_report_intake(alone: Server) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"

    def report(message: str, reporter: str, **more: str) -> tuple[int, str]:
        asked = {"message": message, "channel": "c1", "text": f"text of {message}", "reporter": reporter, **more}
        status, answer, _ = ask(f"{base}/reports", asked)
        return status, answer["status"]

    with program(alone, str(EXAMPLES / "report-intake" / "intake.py"), str(port)):
        wait_until(up(f"{base}/nothing"), "it listens")
        assert report("m1", "u1") == (200, "READY")
        assert report("m1", "u1") == (200, "counted before")
        assert report("m2", "u1") == (200, "READY")
        assert report("m2", "u2") == (200, "BUMPED")
        assert report("m3", "u3", reason="self-harm", author="alice") == (200, "READY")
        status, first, _ = ask(f"{base}/next", {"moderator": "alice"})
        assert (status, first["message"], first["reports"]) == (200, "m2", 2), "m3 is alice's own"
        assert ask(f"{base}/next", {"moderator": "alice"})[1] == first
        assert ask(f"{base}/next", {"moderator": "bob"})[1]["message"] == "m3"
        decision = {"message": "m2", "token": first["token"], "decision": "remove"}
        assert ask(f"{base}/decide", decision)[1] == {"status": "OK", "confirmed": True}
        assert ask(f"{base}/decide", decision)[0] == 409
        assert [report(f"x{i}", "u9")[0] for i in range(6)] == [200] * 5 + [429]
        assert ask(f"{base}/reports", {"message": "m9"})[0] == 400
        for _ in range(6):
            _, one, _ = ask(f"{base}/next", {"moderator": "carol"})
            ask(f"{base}/decide", {"message": one["message"], "token": one["token"], "decision": "keep"})
        assert ask(f"{base}/next", {"moderator": "carol"})[0] == 204


def test_the_first_lines_of_the_readme(alone: Server) -> None:
    readme = (SOURCE.parent / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.S)
    first, second = (block.replace("Redis()", f"Redis(port={alone.port})") for block in blocks[:2])
    assert len(first.splitlines()) <= 10
    with program(alone, "-c", first) as done:
        assert done.wait(PATIENCE) == 0
    with alone.client() as client:
        assert client.execute_command("MODQ.LEN", "review") == 0
        client.execute_command("MODQ.SUBMIT", "review", "post:2", "{}")
        with program(alone, "-c", second):
            wait_until(lambda: client.execute_command("MODQ.LEN", "review") == 0)
