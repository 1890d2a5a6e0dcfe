"""Write the golden bytes of sealed things: `python -m tests.vectors.make`. Inputs are fixed, so every run writes the same files.

A difference after a run means that a format changed: what older versions wrote would no longer open.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.agreements.makers import CONTRACT, HOST, MARKETING, PUBLISHER, agreed
from vault.agreements.kantara import kantara_receipt
from vault.agreements.odrl import odrl_policy
from vault.agreements.receipts import receipt_line
from vault.connectors.keyrings.file import FILE_NAME, FileKeyring, Seal, make_keyring
from vault.keys import envelope, frame, tokens
from vault.keys.controller_keys import controller_key_context
from vault.keys.frame import FrameEntry
from vault.notes import VerifierKey
from vault.octets import base32_id
from vault.operations.signing import note_of

HERE = Path(__file__).parent
DATA_KEY, CONTROLLER_KEY, TOKEN_SECRET = (bytes(range(at, at + 32)) for at in (0x00, 0x20, 0x60))
AUDIT_KEY, SECRET = (bytes(range(at, at + 32)) for at in (0x80, 0xC0))
FIELD_NONCE, WRAP_NONCE = bytes(range(0xA0, 0xAC)), bytes(range(0xB0, 0xBC))
DOCUMENT_KEY = bytes(range(0x10, 0x30))
CONTROLLER, SUBJECT, CLASS, FIELD, AGREEMENT = "ctl-1", "sub-1", "contact", "email", "agr-1"
GENERATION, VERSION, EPOCH = 1, 1, 7
VALUE = b'"ada@example.org"'
INSTALLATION, CREDENTIAL, PASSPHRASE = "riserbo", bytes(range(0x30, 0x50)), "horse staple, correct battery"
KEYRING_KEYS = ("ledger/1", "audit-mac/1", "audit-sign/1", "document-sign/1")


def field_envelope() -> dict[str, Any]:
    place = envelope.field_place(CONTROLLER, SUBJECT, CLASS, FIELD, VERSION, AGREEMENT)
    sealed = envelope.seal_value(DATA_KEY, place, GENERATION, FIELD_NONCE, VALUE)
    return {
        "data_key": DATA_KEY.hex(),
        "nonce": FIELD_NONCE.hex(),
        "clear": VALUE.decode(),
        "padded": envelope.pad(VALUE).hex(),
        "aad": (place + sealed[:6]).hex(),
        "envelope": sealed.hex(),
        "padded_sizes": [len(envelope.pad(bytes(size))) for size in (0, 15, 16, 31, 32, 256, 320, 400, 512, 640, 800, 1008)],
    }


def wraps() -> dict[str, Any]:
    scope = envelope.scope(CONTROLLER, SUBJECT, CLASS, GENERATION)
    places = {
        "agreement": (envelope.wrap_place(scope, "agreement", AGREEMENT), DATA_KEY),
        "hold": (envelope.wrap_place(scope, "hold", "hld-1"), DATA_KEY),
        "secret": (envelope.secret_place(CONTROLLER, "token", 1), TOKEN_SECRET),
        "audit_key": (envelope.audit_key_place(CONTROLLER, SUBJECT), AUDIT_KEY),
    }
    return {
        "controller_key": CONTROLLER_KEY.hex(),
        "nonce": WRAP_NONCE.hex(),
        "epoch": EPOCH,
        "wraps": {
            name: {
                "place": place.hex(),
                "key": key.hex(),
                "wrap": envelope.wrap_key(CONTROLLER_KEY, place, EPOCH, WRAP_NONCE, key).hex(),
            }
            for name, (place, key) in places.items()
        },
        "scope": scope.hex(),
        "commit": envelope.commitment(DATA_KEY, scope).hex(),
        "controller_commit": envelope.controller_commitment(CONTROLLER_KEY, CONTROLLER, EPOCH).hex(),
        "bind": envelope.custody_bind(scope, "agreement", AGREEMENT).hex(),
    }


def frames() -> dict[str, Any]:
    scope = envelope.scope(CONTROLLER, SUBJECT, CLASS, GENERATION)
    one = [_entry(FIELD, VERSION, AGREEMENT, VALUE, FIELD_NONCE)]
    three = [
        *one,
        _entry("phone", 2, "agr-2", b'"+390212345678"', bytes(range(0xC0, 0xCC))),
        _entry("città", 1, AGREEMENT, b'{"city":"Forl\xc3\xac"}', bytes(range(0xD0, 0xDC))),
    ]
    made = {}
    for name, entries in (("empty", []), ("one", one), ("three", three)):
        packed = frame.encode(entries)
        listed = [{**entry._asdict(), "envelope": entry.envelope.hex()} for entry in entries]
        made[name] = {"frame": packed.hex(), "manifest": envelope.manifest(DATA_KEY, scope, packed).hex(), "entries": listed}
    return made


def token_texts() -> dict[str, Any]:
    text = f"tok_{base32_id(bytes(range(0xD0, 0xE0)))}"
    return {
        "secret": TOKEN_SECRET.hex(),
        "text": text,
        "token_id": tokens.token_id(TOKEN_SECRET, text).hex(),
        "shown": [
            {"subject": SUBJECT, "field": FIELD, "recipient": recipient, "serial": serial}
            | {"text": tokens.token_text(TOKEN_SECRET, SUBJECT, FIELD, recipient, serial)}
            for recipient, serial in (("helpdesk", 1), ("helpdesk", 2), ("insurer", 1))
        ],
    }


def keyrings() -> dict[str, Any]:
    return {
        "credential_hex": CREDENTIAL.hex(),
        "passphrase": PASSPHRASE,
        "installation": INSTALLATION,
        "controller_key": CONTROLLER_KEY.hex(),
        "credential": _keyring(Seal("credential", CREDENTIAL)),
        "passphrase_sealed": _keyring(Seal("passphrase", PASSPHRASE.encode())),
    }


def receipts() -> dict[str, Any]:
    private = Ed25519PrivateKey.from_private_bytes(DOCUMENT_KEY)
    key = VerifierKey(f"{HOST}/documents/{CONTROLLER}", private.public_key().public_bytes_raw())
    lines = {
        "consent": receipt_line(HOST, PUBLISHER, MARKETING, agreed()),
        "withdrawal": receipt_line(HOST, PUBLISHER, MARKETING, agreed("given", "withdrawn")),
        "contract": receipt_line(HOST, PUBLISHER, CONTRACT, agreed("given", "ended")),
    }
    return {
        "private_key": DOCUMENT_KEY.hex(),
        "public_key": base64.b64encode(key.public).decode(),
        "vkey": key.text,
        "notes": {name: note_of(key, private.sign, line).decode() for name, line in lines.items()},
        "kantara": kantara_receipt(PUBLISHER, MARKETING, agreed()),
        "odrl": {one.id: odrl_policy(HOST, one).decode() for one in (MARKETING, CONTRACT)},
    }


def _entry(field: str, version: int, agreement: str, value: bytes, nonce: bytes) -> FrameEntry:
    place = envelope.field_place(CONTROLLER, SUBJECT, CLASS, field, version, agreement)
    return FrameEntry(field, version, agreement, envelope.seal_value(DATA_KEY, place, GENERATION, nonce, value))


def _keyring(seal: Seal) -> dict[str, Any]:
    numbers = count()

    def draw(size: int) -> bytes:
        return sha256(b"drawn %d" % next(numbers)).digest()[:size]

    context = controller_key_context(INSTALLATION, CONTROLLER, EPOCH)
    with TemporaryDirectory() as parent:
        directory = Path(parent) / "keyring"
        make_keyring(directory, seal, draw=draw)
        keyring = FileKeyring(directory, seal, now=lambda: datetime(2026, 10, 1, tzinfo=UTC), draw=draw)
        for name in (keyring.create_root(6), keyring.create_root(EPOCH), *KEYRING_KEYS):
            keyring.ensure(name)
        (lost,) = keyring.wrap("root/6", [(CONTROLLER_KEY, context)])
        keyring.destroy_root(6)
        (blob,) = keyring.wrap(f"root/{EPOCH}", [(CONTROLLER_KEY, context)])
        return {
            "file": (directory / FILE_NAME).read_text(),
            "context": dict(context),
            "blob": blob.hex(),
            "blob_of_a_destroyed_root": lost.hex(),
            "mac": {"key": "ledger/1", "message": "sub-1", "mac": keyring.mac("ledger/1", [b"sub-1"])[0].hex()},
            "signature": {
                "key": "audit-sign/1",
                "message": "checkpoint",
                "public_key": keyring.public_key("audit-sign/1").hex(),
                "signature": keyring.sign("audit-sign/1", b"checkpoint").hex(),
            },
        }


FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "envelope.json": field_envelope,
    "wrap.json": wraps,
    "frame.json": frames,
    "tokens.json": token_texts,
    "keyring.json": keyrings,
    "receipts.json": receipts,
}


def text_of(name: str) -> str:
    return json.dumps(FILES[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file_name in FILES:
        (HERE / file_name).write_text(text_of(file_name))
