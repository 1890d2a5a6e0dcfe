"""Keys of those who decide policy, and of witnesses: each has a private one in a file of their own, the vault the public ones.

A private key is one line, as signed notes write it: `PRIVATE+KEY+<name>+<key id in hex>+<base64 of type ‖ seed>`, mode 0600.
"""

import base64
import binascii
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.errors import Fault, InvalidValue
from vault.notes import COSIGNATURE, ED25519, KEY_BYTES, VerifierKey, parse_vkey
from vault.policy.activation import Approver, approvers

_PREFIX = "PRIVATE+KEY+"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A person's own key."""

    public: VerifierKey
    _private: Ed25519PrivateKey = field(repr=False)

    def line(self, body: str) -> str:
        """Return the signature line under a note's text."""
        return self.public.line(self.sign(body.encode()))

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of a signature."""
        return self._private.sign(message)


def make_key(path: Path, name: str, seed: bytes, kind: int = ED25519) -> VerifierKey:
    """Write a private key of 32 drawn bytes to a new file, mode 0600, and return its public half. `kind`: what it signs.

    Raises InvalidValue for a name that is none, and where there is a file already.
    """
    public = VerifierKey(name, Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw(), kind)
    try:
        parse_vkey(public.text)
    except ValueError:
        raise InvalidValue(faults=[Fault("NAME", "name.unfit")]) from None
    line = f"{_PREFIX}{name}+{public.key_id.hex()}+{base64.b64encode(bytes([kind]) + seed).decode()}\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        raise InvalidValue(faults=[Fault("FILE", "file.there-or-not-writable")]) from None
    with os.fdopen(descriptor, "w") as file:
        file.write(line)
    return public


def read_key(path: Path, kind: int = ED25519) -> SigningKey:
    """Return a private key. Raises InvalidValue when it cannot be read, is none of this kind, or others may read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise InvalidValue(faults=[Fault("--key", "key.readable-by-others")])
        name, identity, encoded = path.read_text().strip().removeprefix(_PREFIX).split("+", 2)
        octets = base64.b64decode(encoded, validate=True)
        private = Ed25519PrivateKey.from_private_bytes(octets[1:])
    except OSError:
        raise InvalidValue(faults=[Fault("--key", "key.unreadable")]) from None
    except (ValueError, binascii.Error):
        raise InvalidValue(faults=[Fault("--key", "key.unfit")]) from None
    public = VerifierKey(name, private.public_key().public_bytes_raw(), kind)
    if len(octets) != 1 + KEY_BYTES or octets[0] != kind or public.key_id.hex() != identity:
        raise InvalidValue(faults=[Fault("--key", "key.unfit")])
    return SigningKey(public, private)


def read_approvers(path: Path) -> tuple[Approver, ...]:
    """Return whose signatures count.

    Raises InvalidValue when the file is missing, would let one person decide alone, or is not its owner's alone to change: whoever
    adds two lines to it is two people.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_POLICY_KEYS", "keys.writable-by-others")])
        return approvers(path.read_text())
    except OSError:
        raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_POLICY_KEYS", "missing")]) from None
    except ValueError:
        raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_POLICY_KEYS", "keys.unfit")]) from None


def read_witnesses(path: Path) -> tuple[VerifierKey, ...]:
    """Return the keys of the witnesses whose signatures count, one a line; none where there is no file.

    Raises InvalidValue for a file that others may write to, and for a line that is no witness's key.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_WITNESSES", "keys.writable-by-others")])
        keys = tuple(parse_vkey(line) for line in path.read_text().splitlines() if line.strip())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):
        raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_WITNESSES", "keys.unfit")]) from None
    if any(one.kind != COSIGNATURE for one in keys):
        raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_WITNESSES", "keys.unfit")])
    return keys
