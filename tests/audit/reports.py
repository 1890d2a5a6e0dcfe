"""Logs, checkpoints and customers' bundles with keys anybody can compute: what the offline verifier is tried on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.audit import entry, offline
from vault.audit.accesses import Audience, ChainRow, Opened, concerns_others
from vault.audit.checkpoint import Checkpoint, note_text
from vault.audit.merkle import TILE_WIDTH, Tree, grown, leaf_hash
from vault.audit.proofs import LogProof
from vault.notes import VerifierKey
from vault.octets import b64u
from vault.operations.hand_over_accesses import files_of

ORIGIN = "vault.example/audit/ctl-1/1"
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(range(0x50, 0x70)))
KEY = VerifierKey(ORIGIN, SIGNING.public_key().public_bytes_raw())
AUDIT_KEY, SALTS = bytes(range(0x80, 0xA0)), (bytes(range(0x10, 0x30)), bytes(range(0x30, 0x50)))
CHAIN_KEY = entry.chain_key(AUDIT_KEY, "open")
AT = 1791039600123
ME = "sub_" + "a" * 26


def tree_of(hashes: Sequence[bytes]) -> Tree:
    """Return the tree of these leaf hashes."""
    tiles = {(one.level, one.index): one.hashes for one in grown(0, lambda _level: b"", hashes)}
    rest = len(hashes) - len(hashes) % TILE_WIDTH
    tiles[0, rest // TILE_WIDTH] = b"".join(hashes[rest:])
    return Tree(len(hashes), lambda level, index: tiles.get((level, index), b""))


def note_of(size: int, root: bytes, name: str = ORIGIN, key: VerifierKey = KEY, signing: Ed25519PrivateKey = SIGNING) -> str:
    """Return a signed checkpoint."""
    point = Checkpoint(name, size, root)
    return note_text(point, [key.line(signing.sign(point.body.encode()))])


def leaf(number: int, **members: Any) -> bytes:
    """Return a leaf of no particular meaning."""
    return entry.canonical({"v": 1, "id": f"ent-{number}", "at": AT + number, **members})


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run the verifier in this process; return its exit status and what it said."""
    status = offline.main([str(one) for one in arguments])
    said = capsys.readouterr()
    return status, said.out + said.err


def access(number: int, **said: Any) -> dict[str, Any]:
    """Return what one access is made of; `details` and `internal` are the sealed parts, the rest are members of the leaf."""
    given: dict[str, Any] = {
        "operation": "disclose", "outcome": "partial", "kind": "agent", "roles": ["t1"], "recipient": "helpdesk",
        "purpose": "customer-care", "channel": "phone", "fields": {"email": "clear", "iban": "masked:iban_last4"}, "count": 2,
        "details": {
            "subject_id": ME, "team": "first-line", "ticket": {"id": f"TCK-{number}", "check": "verified"}, "reason": "CALLBACK",
            "agreements": {"agr_1": ["email"], "agr_2": ["iban"]}, "basis": {"agr_1": "contract", "agr_2": "contract"},
        },
        "internal": {"caller_id": "agent-1", "application": "zammad"},
    }  # fmt: skip
    return given | said


LAST: dict[str, Any] = {
    "operation": "show_accesses", "outcome": "done", "kind": "subject", "roles": ["customer"], "recipient": "subject",
    "purpose": "rights-fulfilment", "channel": "portal", "fields": {}, "details": {"form": "bundle"},
    "internal": {"caller_id": ME, "application": "portal"},
}  # fmt: skip


def opened(accesses: Sequence[dict[str, Any]], first: int = 1, previous: bytes = b"") -> list[Opened]:
    """Return these accesses as entries of one person's chain, every other position being somebody else's."""
    made, tag = [], previous
    for at, said in enumerate(accesses):
        number, members = first + at, dict(said)
        details, internal = members.pop("details", None), members.pop("internal", {})
        entry_id, before = f"ent_{number:026d}".replace("0", "a").replace("1", "b"), tag
        tag = entry.subject_tag(CHAIN_KEY, entry_id, number, before)
        members = {name: value for name, value in members.items() if value != {}}
        members |= {"v": 1, "id": entry_id, "at": AT + number * 1000, "subject": b64u(tag)}
        if details is not None:
            members["details"] = b64u(entry.commitment(SALTS[0], entry.canonical(details)))
            members["internal"] = b64u(entry.commitment(SALTS[1], entry.canonical(internal)))
        octets = entry.canonical(members)
        row = ChainRow(1, 2 * at + 1, members["at"], entry_id, b"", number, before, octets)
        made.append(Opened(row, json.loads(octets), details or {}, internal, SALTS[0] if details is not None else b""))
    return made


def audience(**said: Any) -> Audience:
    """Return whose report it is."""
    given: dict[str, Any] = {
        "subject_id": ME, "label_key": entry.label_key(AUDIT_KEY), "about": {}, "about_others": {"legal-claims"}, "own_ids": {ME},
    }  # fmt: skip
    return Audience(**given | said)


def bundle(entries: Sequence[Opened], whose: Audience | None = None, log: Sequence[Opened] | None = None) -> dict[str, bytes]:
    """Return the files of a report over these entries, in the log of all `log` holds."""
    whose = whose or audience()
    hashes: list[bytes] = []
    for at, one in enumerate(log or entries):
        hashes += [leaf_hash(leaf(at)), leaf_hash(one.row.leaf)]
    tree = tree_of(hashes)
    note = note_of(tree.size, tree.root())
    proofs = {
        one.row.entry_id: LogProof(one.row.position, tuple(tree.inclusion(one.row.position)), note).text
        for one in entries
        if not concerns_others(one, whose)
    }
    return files_of(entries, whose, CHAIN_KEY, note, proofs)


def unpacked(files: dict[str, bytes], place: Path) -> Path:
    """Write a bundle's files into a folder."""
    for name, octets in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
    return place
