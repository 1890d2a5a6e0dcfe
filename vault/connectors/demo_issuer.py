"""A token issuer that lives only while `riserbo demo` runs: one key, nine invented people, a key set served on loopback.

Real installations have an identity provider. This one has no logins: whoever can read its key file (0600, gone when it stops) signs
what they like, which is what `riserbo token` does. It signs by itself (RFC 7515, RFC 9068): no token library is needed here.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from vault.errors import Fault, InvalidValue, KeysUnavailable
from vault.octets import b64u

LIFETIME_S = 3_600
HELPDESK = "demo-helpdesk"
ISSUER = "issuer"  # the directory of its key, in the demo's home
_KEY_FILE = "demo-issuer.json"
_COORDINATE = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody invented: what their token says, what the register of callers must say of them, and what they would ask for."""

    name: str
    caller_id: str
    roles: tuple[str, ...]
    purpose: str
    channel: str = "phone"
    team: str | None = None
    training: tuple[str, ...] = ()
    recipient: str = "helpdesk"
    acr: str | None = None


IDENTITIES: Mapping[str, Identity] = {
    one.name: one
    for one in (
        Identity("t1", "demo-t1", ("t1",), "customer-care", team="first-line"),
        Identity("t2", "demo-t2", ("t2",), "customer-care", team="second-line"),
        Identity("billing", "demo-billing", ("billing",), "billing", team="billing"),
        Identity("medical", "demo-medical", ("medical",), "health-service", training=("gdpr-art9",), recipient="care-unit"),
        Identity("dpo", "demo-dpo", ("dpo",), "rights-fulfilment", recipient="controller"),
        Identity("dsr-officer", "demo-dsr-officer", ("dsr-officer",), "rights-fulfilment", recipient="controller"),
        Identity("customer", "", ("customer",), "rights-fulfilment", "portal", acr="https://www.spid.gov.it/SpidL3"),
        Identity("system", HELPDESK, ("system",), "customer-care", "api"),
        Identity("operator", "demo-operator", ("operator",), "customer-care", "api", recipient="controller"),
    )
}
COLLEAGUE = Identity("dpo-2", "demo-dpo-2", ("dpo",), "rights-fulfilment", recipient="controller")  # for what takes two people
EVERYBODY: Mapping[str, Identity] = {**IDENTITIES, COLLEAGUE.name: COLLEAGUE}


@dataclass(frozen=True, slots=True)
class DemoIssuer:
    """The issuer while it runs. `jwks_url` serves its public key."""

    issuer: str
    jwks_url: str
    audience: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def sign(self, name: str, controller_id: str, at: datetime, token_id: str, subject_id: str | None = None) -> str:
        """Return an access token of one hour for an identity. A customer is somebody: `subject_id` says who.

        Raises InvalidValue for a name that is nobody's, or a customer without a `subject_id`.
        """
        identity = EVERYBODY.get(name)
        if identity is None:
            raise InvalidValue("unknown-identity", faults=[Fault("role", "unknown")])
        caller_id = subject_id if name == "customer" else identity.caller_id
        if caller_id is None:
            raise InvalidValue("unknown-identity", faults=[Fault("subject_id", "missing")])
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": caller_id,
            "client_id": HELPDESK,
            "controller": controller_id,
            "roles": list(identity.roles),
            "iat": int(at.timestamp()),
            "exp": int(at.timestamp()) + LIFETIME_S,
            "jti": token_id,
        }
        claims |= {"team": identity.team} if identity.team else {}
        claims |= {"acr": identity.acr, "auth_time": claims["iat"]} if identity.acr else {}
        return self._signed({"typ": "at+jwt", "alg": "ES256", "kid": _kid(self.key)}, claims)

    def key_set(self) -> dict[str, Any]:
        """Return the public key set (RFC 7517)."""
        return {"keys": [{**_public(self.key), "kid": _kid(self.key), "alg": "ES256", "use": "sig"}]}

    def _signed(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        signed = ".".join(b64u(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{b64u(r.to_bytes(_COORDINATE, 'big') + s.to_bytes(_COORDINATE, 'big'))}"


@contextmanager
def run_demo_issuer(directory: Path, audience: str) -> Iterator[DemoIssuer]:
    """Make a key, serve its public half on loopback, and keep the key in `directory` until the block ends."""
    key = ec.generate_private_key(ec.SECP256R1())
    served: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    address = f"http://127.0.0.1:{server.server_port}"
    issuer = DemoIssuer(address, f"{address}/jwks.json", audience, key)
    served["/jwks.json"] = json.dumps(issuer.key_set()).encode()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="demo-issuer", daemon=True)
    thread.start()
    try:
        with _key_kept(directory / _KEY_FILE, issuer):
            yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def demo_home(home: Path) -> Path:
    """Return where the demo lives: `demo` in the home, or the home itself where it is a demo's already."""
    return home if (home / ISSUER).is_dir() else home / "demo"


def running_demo_issuer(directory: Path) -> DemoIssuer:
    """Return the issuer whose key is kept in `directory`. Raises KeysUnavailable (`demo-not-running`) when there is none."""
    path = directory / _KEY_FILE
    try:
        kept = json.loads(path.read_text())
        key = load_pem_private_key(kept["key"].encode(), password=None)
        issuer, audience = str(kept["issuer"]), str(kept["audience"])
    except (OSError, ValueError, KeyError):
        advice = "no issuer here: start `riserbo demo`, or set RISERBO_HOME to the demo's"
        raise KeysUnavailable("demo-not-running", faults=[Fault(str(directory), advice)]) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeysUnavailable("demo-not-running")
    return DemoIssuer(issuer, f"{issuer}/jwks.json", audience, key)


@contextmanager
def _key_kept(path: Path, issuer: DemoIssuer) -> Iterator[None]:
    pem = issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    kept = {"issuer": issuer.issuer, "audience": issuer.audience, "key": pem}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)  # a killed demo leaves its own behind
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(kept, file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _public(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    point = key.public_key().public_numbers()
    x, y = (b64u(number.to_bytes(_COORDINATE, "big")) for number in (point.x, point.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _kid(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the key's thumbprint (RFC 7638)."""
    return b64u(sha256(json.dumps(_public(key), separators=(",", ":"), sort_keys=True).encode()).digest())


def _handler(served: Mapping[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "riserbo-demo", ""

        def do_GET(self) -> None:
            body = served.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/jwk-set+json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
            """Say nothing: stdout is the demo's."""

    return Handler
