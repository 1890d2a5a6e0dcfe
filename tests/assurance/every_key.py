"""Somebody with the database, the keyring and no manners: every key there is, tried on everything that was ever sealed.

Places and tags are not asked: GCM's ciphertext is that of a counter, and is undone without either. So what these keys do not read,
no bytes of the rows authenticated any other way would have read.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.assurance.desk import Desk
from vault.keys import frame

_WRAPS = ("keys.data_key_wrap", "keys.subject_audit_key", "keys.controller_secret")
_WRAP_NONCE, _ENVELOPE_NONCE, _TAG_BYTES = slice(7, 19), slice(6, 18), 16


@dataclass(frozen=True, slots=True)
class Burglar:
    """Reads one controller's rows as the superuser, and has its keyring."""

    desk: Desk
    connection: "psycopg.Connection[Any]"

    def keys(self) -> set[bytes]:
        """Return every key: the controller's in each epoch, its secrets, and what each wrap gives under each of them."""
        controller_id, kept = self.desk.controller_id, self.desk.vault.keys
        epochs = [int(epoch) for (epoch,) in self._rows("keys.controller_key", "epoch")]
        own = {kept.key(controller_id, epoch) for epoch in epochs}
        own |= {
            kept.secret(controller_id, purpose, n).key for purpose, n in self._rows("keys.controller_secret", "purpose, version")
        }
        wraps = [bytes(wrap) for table in _WRAPS for (wrap,) in self._rows(table, "wrap")]
        return own | {_undone(key, wrap, _WRAP_NONCE) for wrap in wraps for key in own}

    def sealed(self) -> list[bytes]:
        """Return every sealed value there is: of frames and of histories, whoever's and of whatever generation."""
        frames = [frame.read(bytes(one)) for (one,) in self._rows("vault.profile_frame", "frame")]
        current = [entry.envelope for one in frames for entry in one.unpacked().values()]
        return current + [bytes(one) for (one,) in self._rows("vault.field_history", "envelope")]

    def reads(self, sealed: Collection[bytes], values: Mapping[str, str]) -> set[str]:
        """Return the fields whose value is met in what any of the keys makes of anything sealed."""
        met = list(self._opened(sealed))
        return {name for name, value in values.items() if any(value.encode() in one for one in met)}

    def _opened(self, sealed: Collection[bytes]) -> Iterator[bytes]:
        keys = self.keys()
        return (_undone(key, one, _ENVELOPE_NONCE) for one in sealed for key in keys)

    def _rows(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM {table} WHERE controller_id = %s"
        return self.connection.execute(query.encode(), (self.desk.controller_id,)).fetchall()


def _undone(key: bytes, sealed: bytes, nonce: slice) -> bytes:
    """Return what GCM encrypted, its tag unlooked at: counter mode from block 2 (SP 800-38D, section 7.1)."""
    counter = Cipher(algorithms.AES(key), modes.CTR(sealed[nonce] + b"\0\0\0\x02")).decryptor()
    return counter.update(sealed[nonce.stop : -_TAG_BYTES])
