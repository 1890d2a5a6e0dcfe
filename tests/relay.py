"""A mail relay on loopback that speaks real SMTP (RFC 5321, 3207): what it took is kept, and it can be told to refuse."""

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Relay:
    """What it took, and how it answers: `answers` maps a verb to what is said instead."""

    port: int = 0
    context: ssl.SSLContext | None = None
    answers: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[str, Message]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)


class _Talk(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        with suppress(OSError):  # who does not trust us goes away
            self._talk()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.request.close()

    def _talk(self) -> None:
        relay: Relay = self.server.relay
        to, secure = "", isinstance(self.request, ssl.SSLSocket)
        self._say("220 relay")
        while line := self.rfile.readline():
            verb = line.split(b" ")[0].strip().decode("ascii", "replace").upper()
            relay.heard.append(verb)
            if verb in relay.answers:
                self._say(relay.answers[verb])
            elif verb == "EHLO":
                offers = ["250-relay", *(["250-STARTTLS"] if relay.context is not None and not secure else []), "250 AUTH PLAIN"]
                self._say("\r\n".join(offers))
            elif verb == "STARTTLS" and relay.context is not None:
                self._say("220 go ahead")
                self.request = relay.context.wrap_socket(self.request, server_side=True)
                self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb")
                secure = True
            elif verb == "AUTH":
                self._say("235 welcome")
            elif verb == "DATA":
                self._say("354 go on")
                relay.taken.append((to, message_from_bytes(b"".join(iter(self.rfile.readline, b".\r\n")))))
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                to = line.decode().partition("<")[2].partition(">")[0] if verb == "RCPT" else to
                self._say("250 fine")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")
        self.wfile.flush()


@contextmanager
def relaying(context: ssl.SSLContext | None = None) -> Iterator[Relay]:
    """Yield a relay that runs."""
    relay = Relay(context=context)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Talk) as server:
        server.daemon_threads = True
        server.relay = relay  # type: ignore[attr-defined]
        relay.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield relay
        server.shutdown()


def certified(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a relay on loopback with a certificate of its own, and of who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = made.public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "relay.pem").write_bytes(pem + key.private_bytes(*form))
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(directory / "relay.pem")
    return served, ssl.create_default_context(cadata=pem.decode())
