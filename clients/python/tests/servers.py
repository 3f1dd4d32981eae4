"""Real servers for the tests: on free ports, in temporary folders, stopped when the test ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

ROOT = Path(__file__).resolve().parents[3]
SERVERS = ROOT / ".servers"
MODULE = Path(os.environ.get("MODQ_SO") or ROOT / "target" / "release" / "libmodq.so").resolve()
KINDS = ("redis-7.0", "redis-8.2", "valkey-9.1", "stack-7.4")
#: How long something may take before it counts as broken. Only a failing test uses it up.
PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: Callable[[], Any], why: str = "it comes true") -> Any:
    """Asks until the answer is true, and gives it back."""
    end = time.monotonic() + PATIENCE
    error: BaseException | None = None
    while time.monotonic() < end:
        try:
            if answer := what():
                return answer
        except (redis.RedisError, OSError) as failed:
            error = failed
        time.sleep(0.02)
    raise AssertionError(f"waited in vain until {why}") from error


class Server:
    """One process, which may be killed and started again with the same data."""

    def __init__(self, kind: str, *options: str, module: bool = True, args: tuple[str, ...] = ()) -> None:
        if module and not MODULE.exists():
            raise AssertionError(f"{MODULE} is not there: cargo build --release --lib, or set MODQ_SO")
        self.kind = kind
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix="modq-py-")
        home = SERVERS / kind
        lines = [
            *("bind 127.0.0.1", f"port {self.port}", f"dir {self.dir}", 'save ""', "enable-debug-command local"),
            *("repl-diskless-sync-delay 0",),
            *((f"loadmodule {MODULE}",) if module else ()),
            *(f"loadmodule {one}" for one in sorted((home / "modules").glob("redisbloom.so")) if module),
            *options,
        ]
        self.config = Path(self.dir, "server.conf")
        self.config.write_text("\n".join(lines) + "\n")
        self.args = args
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=10, **options)

    def start(self) -> None:
        home = SERVERS / self.kind
        env = {**os.environ, "LD_LIBRARY_PATH": str(home / "lib")}
        with open(Path(self.dir, "server.log"), "ab") as log:
            self.process = subprocess.Popen(
                [str(home / "bin" / "server"), str(self.config), *self.args], stdout=log, stderr=log, env=env
            )
        with self.client() as client:
            wait_until(lambda: self._alive() and client.ping(), f"{self.kind} answers on port {self.port}")

    def _alive(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            log = Path(self.dir, "server.log").read_text(errors="replace")[-3000:]
            raise AssertionError(f"{self.kind} ended by itself:\n{log}")
        return True

    def kill(self) -> None:
        """SIGKILL: nothing is written any more."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def sentinel(primary: Server, name: str = "main", port: int = 0, *options: str) -> Server:
    """A Sentinel that alone decides, and soon. It knows the primary by this port, or the usual one."""
    return Server(
        "redis-7.0",
        *options,
        f"sentinel monitor {name} 127.0.0.1 {port or primary.port} 1",
        f"sentinel down-after-milliseconds {name} 1000",
        f"sentinel failover-timeout {name} 10000",
        module=False,
        args=("--sentinel",),
    )


def cluster(size: int = 3, kind: str = "redis-8.2") -> list[Server]:
    """Primaries that share the slots."""
    options = ("cluster-enabled yes", "cluster-node-timeout 5000")
    # By default the port of the bus is 10000 higher, which may be none.
    buses = [free_port() for _ in range(size)]
    nodes = [Server(kind, *options, f"cluster-port {bus}") for bus in buses]
    edges = [16384 * i // size for i in range(size + 1)]
    for i, node in enumerate(nodes):
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", edges[i], edges[i + 1] - 1)
            for other, bus in zip(nodes[:i], buses, strict=False):
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
    for node in nodes:
        with node.client() as client:
            wait_until(
                lambda c=client: b"cluster_state:ok" in raw_info(c) and known_nodes(c) == size, "the cluster is whole"
            )
    return nodes


def raw_info(client: redis.Redis) -> bytes:
    info = client.execute_command("CLUSTER INFO")
    return ("\n".join(f"{k}:{v}" for k, v in info.items()) if isinstance(info, dict) else str(info)).encode()


def known_nodes(client: redis.Redis) -> int:
    slots = client.execute_command("CLUSTER SLOTS")
    return len(slots)
