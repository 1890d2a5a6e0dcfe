"""A recipient of OpenDSR, as tests play it: its key, its certificate, and how it signs."""

import base64
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


@cache
def key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the key of this name."""
    del name
    return rsa.generate_private_key(65537, bits)


def certificate(name: str = "desk.example", bits: int = 2048) -> bytes:
    """Return its certificate, in PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key(name, bits).public_key())
        .serial_number(1)
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=3650))
        .sign(key(name, bits), SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def signature(body: bytes, name: str = "desk.example") -> str:
    """Return the signature of a body."""
    return base64.b64encode(key(name, 2048).sign(body, padding.PKCS1v15(), SHA256())).decode()
