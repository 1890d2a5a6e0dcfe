"""Documents the vault signs for people to keep: C2SP signed notes under key `document-sign/<n>`. Shared by verbs, decides nothing.

The name of the key is `<host>/documents/<controller>`, so a note says whose document it is. Checkpoints are signed by another key
under names that begin with `<host>/audit/`, so neither can stand for the other.
"""

from collections.abc import Callable

from vault.assembly import Vault
from vault.notes import VerifierKey


def document_key(vault: Vault, controller_id: str) -> VerifierKey:
    """Return the key by which a controller's documents are checked."""
    return VerifierKey(f"{vault.settings.host}/documents/{controller_id}", vault.signing.document_key)


def signed_document(vault: Vault, controller_id: str, line: bytes) -> bytes:
    """Return a document of the vault's, signed. Raises KeysUnavailable."""
    return note_of(document_key(vault, controller_id), vault.signing.sign_document, line)


def signature_under(vault: Vault, controller_id: str, line: bytes) -> bytes:
    """Return what follows a document's line and its newline in the note: where the line is large, nobody needs a copy of the whole.

    Raises KeysUnavailable.
    """
    return b"\n" + document_key(vault, controller_id).line(vault.signing.sign_document(line + b"\n")).encode()


def note_of(key: VerifierKey, sign: Callable[[bytes], bytes], line: bytes) -> bytes:
    """Return the line, a blank one and the signature's. Raises ValueError for more than one line."""
    if b"\n" in line:
        raise ValueError("a document is one line")
    body = line + b"\n"
    return body + b"\n" + key.line(sign(body)).encode()
