"""The file keyring: root keys in one sealed file beside the database, the embedded default. Ports: `vault.keys.keyring`.

`<directory>/keyring.json` is `{"format":"riserbo-keyring/1","seal":…,"keys":{name:{"made_at","sealed"}}}`. `sealed` is base64 of
`nonce 12 ‖ ciphertext ‖ tag` (AES-256-GCM) of 32 bytes, bound to `lp("riserbo.keyring.v1") ‖ lp(name)`. The sealing key is a
32-byte credential, or Argon2id of a passphrase (RFC 9106; t=3, 64 MiB, p=4). A destroyed key leaves `{"made_at","destroyed_at"}`:
its name is never given again. In a blob, the provider's bytes are `nonce 12 ‖ ciphertext ‖ tag`, the additional data the RFC 8785
JSON of the context.

The file is 0600 in a directory 0700, both our own, neither a link, outside the directories that are backed up or served; anything
else is refused, at start and at each operation, for each operation reads the file again. So a file that is gone or opened to others
closes the vault as soon as the controller keys in memory are past their life. It does not resist a stolen server.
"""

import base64
import binascii
import fcntl
import hmac
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vault.connectors.own_places import directory_fault, file_fault, is_inside
from vault.errors import Fault, KeysUnavailable, Unreadable
from vault.keys.keyring import (
    PAYLOAD_BYTES,
    Blob,
    Context,
    Destruction,
    Health,
    KeyName,
    KeyState,
    KeyUse,
    context_bytes,
    decode_blob,
    encode_blob,
    root_name,
    use_of,
)
from vault.octets import lp

FILE_NAME = "keyring.json"
FORMAT = "riserbo-keyring/1"
CREDENTIAL_BYTES = 32
_LARGEST_FILE_BYTES = 1 << 22
_ARGON2ID = {"t": 3, "m_kib": 65_536, "p": 4}

Draw = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Seal:
    """What unseals the keyring: 32 bytes of a credential, or a passphrase. Never printed."""

    kind: Literal["credential", "passphrase"]
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Contents:
    """The file as last read, with the key it is sealed by."""

    octets: bytes = field(repr=False)
    seal: Mapping[str, Any]
    sealing_key: bytes = field(repr=False)
    keys: Mapping[KeyName, Mapping[str, str]]


def make_keyring(directory: Path, seal: Seal, *, forbidden: Sequence[Path] = (), draw: Draw) -> None:
    """Make an empty keyring. Raises KeysUnavailable where one exists already, or the place will not do."""
    _expect_outside(directory, forbidden)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(directory):
            if (directory / FILE_NAME).exists():
                raise _refused("exists")
            _expect_own_directory(directory)
            _write(directory, _encoded(_new_seal(seal, draw), {}))
    except OSError:
        raise _refused("not-writable") from None


class FileKeyring:
    """The keyring in one file. Raises KeysUnavailable at once, with a fault that says why, where the file will not do."""

    provider = "file"
    remote = False

    def __init__(
        self, directory: Path, seal: Seal, *, forbidden: Sequence[Path] = (), now: Callable[[], datetime], draw: Draw
    ) -> None:
        _expect_outside(directory, forbidden)
        self._directory = directory
        self._seal = seal
        self._now = now
        self._draw = draw
        self._reading = Lock()
        self._contents: _Contents | None = None
        self._read()

    def __repr__(self) -> str:
        return "***"

    def wrap(self, key: KeyName, items: Sequence[tuple[bytes, Context]]) -> list[bytes]:
        """Return a blob for each payload of at most 4,096 bytes, bound to its context."""
        if any(len(payload) > PAYLOAD_BYTES for payload, _ in items):
            raise KeysUnavailable
        cipher = AESGCM(self._key(key, "wrap"))
        return [self._blob(cipher, key, payload, context) for payload, context in items]

    def unwrap(self, items: Sequence[tuple[bytes, Context]]) -> list[bytes | Unreadable]:
        """Return the payload of each blob, or Unreadable in its place."""
        contents = self._current()
        return [_unwrapped(contents, blob, context) for blob, context in items]

    def rewrap(self, to: KeyName, items: Sequence[tuple[bytes, Context]]) -> list[bytes | Unreadable]:
        """Return each blob made anew under `to`, with the same context."""
        cipher = AESGCM(self._key(to, "wrap"))
        payloads = self.unwrap(items)
        return [
            self._blob(cipher, to, payload, context) if isinstance(payload, bytes) else payload
            for payload, (_, context) in zip(payloads, items, strict=True)
        ]

    def mac(self, key: KeyName, messages: Sequence[bytes]) -> list[bytes]:
        """Return HMAC-SHA256 of each message, 32 bytes."""
        secret = self._key(key, "mac")
        return [hmac.digest(secret, message, "sha256") for message in messages]

    def sign(self, key: KeyName, message: bytes) -> bytes:
        """Return the Ed25519 signature, 64 bytes (RFC 8032)."""
        return Ed25519PrivateKey.from_private_bytes(self._key(key, "sign")).sign(message)

    def public_key(self, key: KeyName) -> bytes:
        """Return the Ed25519 public key, 32 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self._key(key, "sign")).public_key().public_bytes_raw()

    def ensure(self, key: KeyName) -> None:
        """Make the key where there is none."""
        use_of(key)
        with self._changing() as (contents, keys):
            entry = keys.get(key)
            if entry is not None and "sealed" not in entry:
                raise KeysUnavailable
            if entry is None:
                sealed = _sealed(contents.sealing_key, key, self._draw(12), self._draw(32))
                keys[key] = {"made_at": self._now().isoformat(), "sealed": sealed}

    def create_root(self, epoch: int) -> KeyName:
        """Make the root key of an epoch where there is none, and return its name."""
        self.ensure(root_name(epoch))
        return root_name(epoch)

    def destroy_root(self, epoch: int) -> Destruction:
        """Take the root key of an epoch out of the file, for ever. The evidence is the digest of the file that is left."""
        with self._changing() as (_, keys):
            entry = keys.get(root_name(epoch))
            if entry is None:
                raise KeysUnavailable
            destroyed_at = entry.get("destroyed_at", self._now().isoformat())
            keys[root_name(epoch)] = {"made_at": entry["made_at"], "destroyed_at": destroyed_at}
        left = sha256(self._current().octets).hexdigest()
        return Destruction("destroyed", datetime.fromisoformat(destroyed_at), f"sha256:{left}")

    def state(self, key: KeyName) -> KeyState:
        """Return enabled, destroyed or absent."""
        entry = self._current().keys.get(key)
        if entry is None:
            return "absent"
        return "enabled" if "sealed" in entry else "destroyed"

    def health(self) -> Health:
        """Return whether the file can be read and unsealed now."""
        try:
            self._read()
        except KeysUnavailable as error:
            return Health(self.provider, self.remote, answers=False, code=error.faults[0].code)
        return Health(self.provider, self.remote, answers=True)

    def _current(self) -> _Contents:
        """Return the file's contents, read again. What is wrong with the file is the operator's to know (`health`)."""
        try:
            return self._read()
        except KeysUnavailable:
            raise KeysUnavailable from None

    def _read(self) -> _Contents:
        octets = _file_bytes(self._directory)
        with self._reading:
            before = self._contents
            if before is None or before.octets != octets:
                self._contents = before = self._parsed(octets, before)
            return before

    def _parsed(self, octets: bytes, before: _Contents | None) -> _Contents:
        seal, keys = _decoded(octets)
        known = before is not None and before.seal == seal
        contents = _Contents(octets, seal, before.sealing_key if known and before else _sealing_key(self._seal, seal), keys)
        for name, entry in keys.items():  # a wrong credential, or an entry moved to another name, shows at once
            if "sealed" in entry:
                _opened(contents, name)
        return contents

    def _key(self, name: KeyName, use: KeyUse) -> bytes:
        if use_of(name) != use:
            raise KeysUnavailable
        contents = self._current()
        if "sealed" not in contents.keys.get(name, {}):
            raise KeysUnavailable
        return _opened(contents, name)

    def _blob(self, cipher: AESGCM, key: KeyName, payload: bytes, context: Context) -> bytes:
        nonce = self._draw(12)
        return encode_blob(Blob(self.provider, key, nonce + cipher.encrypt(nonce, payload, context_bytes(context))))

    @contextmanager
    def _changing(self) -> Iterator[tuple[_Contents, dict[KeyName, Mapping[str, str]]]]:
        """Yield the contents and keys to change; afterwards the file is replaced whole, other processes waiting."""
        try:
            with _locked(self._directory):
                contents = self._current()
                keys = dict(contents.keys)
                yield contents, keys
                if keys != contents.keys:
                    _write(self._directory, _encoded(contents.seal, keys))
        except OSError:
            raise KeysUnavailable from None


def _refused(code: str) -> KeysUnavailable:
    return KeysUnavailable(faults=[Fault("keyring", code)])


def _expect_outside(directory: Path, forbidden: Sequence[Path]) -> None:
    if is_inside(directory, forbidden):
        raise _refused("inside-data")


def _expect_own_directory(directory: Path) -> None:
    if (fault := directory_fault(directory)) is not None:
        raise _refused(fault)


def _file_bytes(directory: Path) -> bytes:
    """Return the file's bytes, having looked at who may read it."""
    try:
        _expect_own_directory(directory)
        descriptor = os.open(directory / FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _expect_own_file(os.fstat(descriptor))  # of the open file: it cannot be exchanged in between
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)
    except OSError:  # gone, a link, not ours to read, or a disk that fails
        raise _refused("not-readable") from None


def _expect_own_file(found: os.stat_result) -> None:
    if (fault := file_fault(found)) is not None or found.st_size > _LARGEST_FILE_BYTES:
        raise _refused(fault or "not-a-file")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(directory: Path, octets: bytes) -> None:
    """Replace the file whole: after a crash it is the old one or the new one."""
    fresh = directory / f".{FILE_NAME}.new"
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(octets)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(directory / FILE_NAME)
    holder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(holder)
    finally:
        os.close(holder)


def _encoded(seal: Mapping[str, Any], keys: Mapping[KeyName, Mapping[str, str]]) -> bytes:
    document = {"format": FORMAT, "seal": seal, "keys": keys}
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _decoded(octets: bytes) -> tuple[Mapping[str, Any], Mapping[KeyName, Mapping[str, str]]]:
    try:
        document = json.loads(octets)
        if set(document) != {"format", "seal", "keys"} or document["format"] != FORMAT:
            raise _refused("format")
        for name, entry in document["keys"].items():
            use_of(name)
            if set(entry) not in ({"made_at", "sealed"}, {"made_at", "destroyed_at"}):
                raise _refused("format")
            for instant in entry.keys() - {"sealed"}:
                datetime.fromisoformat(entry[instant])
    except (ValueError, TypeError, AttributeError, RecursionError, KeysUnavailable):
        raise _refused("format") from None
    return document["seal"], document["keys"]


def _new_seal(seal: Seal, draw: Draw) -> Mapping[str, Any]:
    if seal.kind == "credential":
        return {"kind": "credential"}
    return {"kind": "passphrase", **_ARGON2ID, "salt": base64.b64encode(draw(16)).decode()}


def _sealing_key(seal: Seal, found: Mapping[str, Any]) -> bytes:
    """Return the 32 bytes the file is sealed by. A file that asks for other costs than ours is refused, not obeyed."""
    if seal.kind == "credential" and found == {"kind": "credential"}:
        if len(seal.secret) != CREDENTIAL_BYTES:
            raise _refused("credential")
        return seal.secret
    try:
        if seal.kind != "passphrase" or found != {"kind": "passphrase", **_ARGON2ID, "salt": found["salt"]}:
            raise _refused("seal")
        salt = base64.b64decode(found["salt"], validate=True)
        derivation = Argon2id(salt=salt, length=32, iterations=_ARGON2ID["t"], lanes=_ARGON2ID["p"], memory_cost=_ARGON2ID["m_kib"])
        return derivation.derive(seal.secret)
    except (KeyError, ValueError, TypeError):
        raise _refused("seal") from None


def _sealed(sealing_key: bytes, name: KeyName, nonce: bytes, key: bytes) -> str:
    octets = nonce + AESGCM(sealing_key).encrypt(nonce, key, lp("riserbo.keyring.v1") + lp(name))
    return base64.b64encode(octets).decode()


def _opened(contents: _Contents, name: KeyName) -> bytes:
    """Return one key. Raises KeysUnavailable where the credential is wrong or the entry was changed."""
    try:
        octets = base64.b64decode(contents.keys[name]["sealed"], validate=True)
        key = AESGCM(contents.sealing_key).decrypt(octets[:12], octets[12:], lp("riserbo.keyring.v1") + lp(name))
    except (InvalidTag, ValueError, binascii.Error, TypeError):
        raise _refused("sealed-otherwise") from None
    if len(key) != 32:
        raise _refused("sealed-otherwise")
    return key


def _unwrapped(contents: _Contents, octets: bytes, context: Context) -> bytes | Unreadable:
    try:
        blob = decode_blob(octets)
        if blob.provider != FileKeyring.provider or use_of(blob.key) != "wrap" or "sealed" not in contents.keys.get(blob.key, {}):
            return Unreadable()
        cipher = AESGCM(_opened(contents, blob.key))
        return cipher.decrypt(blob.octets[:12], blob.octets[12:], context_bytes(context))
    except (InvalidTag, ValueError, Unreadable, KeysUnavailable):
        return Unreadable()
