"""Those who decide policy in tests, their keys, and the notes they sign; bundles that may follow the shipped one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.policy.makers import altered
from vault.notes import VerifierKey
from vault.policy.activation import Activation, approvers, signed_note
from vault.policy.bundle import shipped
from vault.policy.files import bundle_digest, read_files

SINCE = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
GROUPS = {"ada": "policy", "bea": "policy", "cora": "dpo", "dora": "dpo"}
_PRIVATE = {name: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number, name in enumerate(GROUPS, 1)}


def vkey(person: str) -> VerifierKey:
    return VerifierKey(f"tests/{person}", _PRIVATE[person].public_key().public_bytes_raw())


KEY_FILE = "".join(f"{group} {person} {vkey(person).text}\n" for person, group in GROUPS.items())
KNOWN = approvers(KEY_FILE)


def note_of(activation: Activation, *people: str) -> str:
    """Return the activation as these people sign it."""
    return signed_note(activation, [vkey(one).line(_PRIVATE[one].sign(activation.body.encode())) for one in people])


def follows(
    controller_id: str, digest: str, previous: str | None, sequence: int = 2, people: Sequence[str] = ("ada", "cora")
) -> str:
    """Return the note by which a bundle follows another."""
    return note_of(Activation(controller_id, sequence, digest, previous, SINCE), *people)


def renamed(directory: Path) -> Path:
    """Return a bundle that shows the same for another reason: each answer tells which of the two decided it."""
    changes: dict[str, str | None] = {}
    for path, octets in read_files(shipped()).items():
        text = octets.decode()
        if "support-t1-contact" in text:
            changes[path] = text.replace("support-t1-contact", "support-t2-contact")
    return altered(directory, changes)


def digest_of(directory: Path) -> str:
    return bundle_digest(read_files(directory))
