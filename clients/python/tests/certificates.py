"""Certificates for tests, made by openssl on the spot: an authority, what it vouches for, and one that nobody knows."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from servers import Server, free_port

#: Of Redis in the matrix these were built with TLS.
SPEAK_TLS = ("redis-7.0", "stack-7.4")
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates:
    """In one folder: ``ca`` and ``stranger`` are authorities, ``server`` and ``client`` are by ``ca``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("ca", "stranger"):
            self._openssl(
                "req", "-x509", *_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"
            )
        for name, usage in (("server", "serverAuth,clientAuth"), ("client", "clientAuth")):
            more = f"subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n"
            (folder / "more").write_text(more)
            self._openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "more")
            self._openssl("x509", "-req", "-in", f"{name}.csr", *by, "-out", f"{name}.pem")

    def _openssl(self, *args: str) -> None:
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def of_server(self, port: int) -> tuple[str, ...]:
        """The configuration of a server that speaks TLS on this port, and wants a certificate of whoever comes."""
        return (
            *(f"tls-port {port}", f"tls-ca-cert-file {self.path('ca.pem')}"),
            *(f"tls-cert-file {self.path('server.pem')}", f"tls-key-file {self.path('server.key')}"),
        )

    def of_client(self, authority: str = "ca") -> dict[str, Any]:
        """The options of a client that trusts this authority and has a certificate of its own."""
        return {"ssl": True, "ssl_ca_certs": self.path(f"{authority}.pem"), **self.own()}

    def own(self) -> dict[str, str]:
        return {"ssl_certfile": self.path("client.pem"), "ssl_keyfile": self.path("client.key")}


class TlsServer:
    """A server on two ports: the plain one is for the test itself."""

    def __init__(self, kind: str, certificates: Certificates, *options: str, **more: Any) -> None:
        self.port = free_port()
        self.server = Server(kind, *certificates.of_server(self.port), *options, **more)

    def connections(self, user: str) -> list[dict[str, str]]:
        """Those of this ACL user, as the server sees them."""
        with self.server.client() as client:
            return [one for one in client.client_list() if one["user"] == user]
