"""A proxy between client and server that loses what a test wants lost: replies, or everything, from some moment on."""

from __future__ import annotations

import socket
import threading


class Proxy:
    """Forwards bytes both ways. ``drop_replies(n)`` lets the next ``n`` commands that match reach the server, and closes
    the connection instead of passing their reply on. ``hang()`` swallows everything and closes nothing."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._drops: dict[bytes, int] = {}
        self.dropped = 0
        self._hanging = False
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def drop_replies(self, command: str, times: int = 1) -> None:
        with self._lock:
            self._drops[command.encode()] = times

    def hang(self, hanging: bool = True) -> None:
        """A cut that nobody is told of."""
        self._hanging = hanging
        if not hanging:
            self.cut()

    def cut(self) -> None:
        """Closes all connections."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            shut(one)

    def close(self) -> None:
        shut(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                shut(near)
                continue
            with self._lock:
                self._sockets |= {near, far}
            pair = Pair(self, near, far)
            threading.Thread(target=pair.requests, daemon=True).start()
            threading.Thread(target=pair.replies, daemon=True).start()

    def takes(self, request: bytes) -> bool:
        """Whether the reply to this request is to be lost."""
        with self._lock:
            for command, left in self._drops.items():
                if left > 0 and command in request:
                    self._drops[command] = left - 1
                    self.dropped += 1
                    return True
        return False

    @property
    def hanging(self) -> bool:
        return self._hanging


class Pair:
    def __init__(self, proxy: Proxy, near: socket.socket, far: socket.socket) -> None:
        self.proxy, self.near, self.far = proxy, near, far
        self.losing = False

    def requests(self) -> None:
        try:
            while data := self.near.recv(65536):
                if self.proxy.hanging:
                    continue
                self.losing = self.losing or self.proxy.takes(data)
                self.far.sendall(data)
        except OSError:
            pass
        shut(self.far)

    def replies(self) -> None:
        try:
            while data := self.far.recv(65536):
                if self.losing:
                    break
                if not self.proxy.hanging:
                    self.near.sendall(data)
        except OSError:
            pass
        shut(self.near)
        shut(self.far)


def shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()
