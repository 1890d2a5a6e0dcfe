"""The bytes of this version, held for ever: what it writes now must verify in ten years."""

import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault import notes
from vault.audit import checkpoint, entry, proofs
from vault.audit.merkle import Tree, leaf_hash
from vault.keys.envelope import seal_value
from vault.octets import b64u, expand, lp

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "audit.json").read_text())
SALTS = (bytes.fromhex(VECTORS["salts"][0]), bytes.fromhex(VECTORS["salts"][1]))
AUDIT_KEY = bytes.fromhex(VECTORS["subject_audit_key"])
SECRET = bytes.fromhex(VECTORS["audit_secret"])


def hexed(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name])


def leaf_2() -> dict[str, Any]:
    details, internal = (entry.canonical(VECTORS[name]) for name in ("details", "internal"))
    tag = entry.subject_tag(entry.chain_key(AUDIT_KEY, "open"), "ent-2", 1, b"")
    return {
        "v": 1,
        "id": "ent-2",
        "at": 1791039600124,
        "operation": "disclose",
        "outcome": "partial",
        "kind": "agent",
        "caller": b64u(entry.caller_tag(entry.caller_key(SECRET), VECTORS["caller"], "ent-2")),
        "roles": ["t1"],
        "recipient": "zammad",
        "purpose": "customer-care",
        "channel": "phone",
        "fields": {"iban": "masked:iban_last4", "health_note": "withheld", "email": "clear"},
        "count": 1,
        "terms": ["retail@3"],
        "bundle": b64u(bytes.fromhex("ab5664") + bytes(13)),
        "details": b64u(entry.commitment(SALTS[0], details)),
        "internal": b64u(entry.commitment(SALTS[1], internal)),
        "subject": b64u(tag),
        "writer": "wrt-1",
        "number": 2,
        "previous": b64u(leaf_hash(VECTORS["leaves"][0]["text"].encode())),
    }


def leaf_3() -> dict[str, Any]:
    first = entry.subject_tag(entry.chain_key(AUDIT_KEY, "open"), "ent-2", 1, b"")
    third = leaf_2() | {
        "id": "ent-3",
        "at": 1791039600125,
        "caller": b64u(entry.caller_tag(entry.caller_key(SECRET), VECTORS["caller"], "ent-3")),
        "outcome": "refused",
        "purpose": "marketing",
        "fields": {"email": "withheld"},
        "subject": b64u(entry.subject_tag(entry.chain_key(AUDIT_KEY, "open"), "ent-3", 2, first)),
        "number": 3,
        "previous": b64u(leaf_hash(entry.encode(leaf_2()))),
    }
    del third["terms"]
    return third


def leaf_1() -> dict[str, Any]:
    about = {"origin": VECTORS["origin"], "mac_key": 1, "audit_secret": 1}
    return {
        "v": 1, "id": "ent-1", "at": 1791039600123, "operation": "writer-open", "outcome": "done", "kind": "system",
        "about": about, "writer": "wrt-1", "number": 1, "previous": "",
    }  # fmt: skip


LEAVES = (leaf_1, leaf_2, leaf_3)
HASHES = [leaf_hash(entry.encode(one())) for one in LEAVES]


def test_keys_are_derived_as_published() -> None:
    assert entry.chain_key(AUDIT_KEY, "open") == hexed("chain_key")
    assert entry.details_key(AUDIT_KEY) == hexed("details_key")
    assert entry.caller_key(SECRET) == hexed("caller_key")


@pytest.mark.parametrize(
    ("derived", "label"),
    [
        (entry.chain_key(AUDIT_KEY, "open"), "riserbo.audit-chain.v1"),
        (entry.chain_key(AUDIT_KEY, "held"), "riserbo.audit-chain-held.v1"),
        (entry.details_key(AUDIT_KEY), "riserbo.audit-details.v1"),
        (entry.label_key(AUDIT_KEY), "riserbo.audit-label.v1"),
        (entry.lookup_key(AUDIT_KEY), "riserbo.audit-lookup.v1"),
    ],
)
def test_the_one_block_derivation_is_hkdf_expand(derived: bytes, label: str) -> None:
    assert derived == expand(AUDIT_KEY, lp(label))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_leaves_are_the_published_bytes(number: int) -> None:
    made, published = entry.encode(LEAVES[number]()), VECTORS["leaves"][number]
    assert published.get("text", made.decode()).encode() == made
    assert len(made) == published["length"]
    assert leaf_hash(made).hex() == published["hash"]


def test_tags_are_the_published_ones() -> None:
    assert [leaf_2()["subject"], leaf_3()["subject"]] == VECTORS["tags"]


def test_the_ratchet_makes_the_published_macs() -> None:
    key = hmac.digest(hexed("mac_root"), entry.first_mac_message("ctl-1", "wrt-1"), "sha256")
    assert key == hexed("first_mac_key")
    for number in (0, 1):
        assert entry.leaf_mac(key, entry.encode(LEAVES[number]())).hex() == VECTORS["leaves"][number]["mac"]
        key = entry.ratchet(key)


def test_sealed_details_are_the_published_bytes_and_open_again() -> None:
    details, internal = (entry.canonical(VECTORS[name]) for name in ("details", "internal"))
    text = entry.sealed_text(details, internal, SALTS)
    header = bytes.fromhex("010100000001")
    place = entry.details_place("ctl-1", "sub-1", "ent-2")
    padded = (text + b"\x80").ljust(256, b"\x00")
    box, nonce = AESGCM(entry.details_key(AUDIT_KEY)), hexed("nonce")
    sealed = header + nonce + box.encrypt(nonce, padded, place + header)
    assert sealed == seal_value(entry.details_key(AUDIT_KEY), place, 1, nonce, text)
    assert len(sealed) == VECTORS["sealed"]["length"]
    assert sha256(sealed).hexdigest() == VECTORS["sealed"]["sha256"]
    assert text == orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    assert entry.opened(leaf_2(), text) == entry.Opening(VECTORS["details"], VECTORS["internal"])


def test_roots_and_proofs_are_the_published_ones() -> None:
    def read(level: int, index: int) -> bytes:
        return b"".join(HASHES) if (level, index) == (0, 0) else b""

    tree = Tree(3, read)
    assert tree.root(2).hex() == VECTORS["root_of_2"]
    assert tree.root().hex() == VECTORS["root_of_3"]
    assert tree.consistency(2) == [HASHES[2]]
    assert tree.inclusion(1) == [HASHES[0], HASHES[2]]
    assert proofs.extends(hexed("root_of_2"), 2, hexed("root_of_3"), 3, [HASHES[2]])
    assert proofs.includes(hexed("root_of_3"), 3, 1, HASHES[1], [HASHES[0], HASHES[2]])


def test_the_note_and_its_cosignature_are_the_published_text() -> None:
    log = Ed25519PrivateKey.from_private_bytes(hexed("log_seed"))
    witness = Ed25519PrivateKey.from_private_bytes(hexed("witness_seed"))
    vkey = notes.VerifierKey(VECTORS["origin"], log.public_key().public_bytes_raw())
    cosigner = notes.VerifierKey(VECTORS["witness"], witness.public_key().public_bytes_raw(), notes.COSIGNATURE)
    point = checkpoint.Checkpoint(VECTORS["origin"], 3, hexed("root_of_3"))
    line = vkey.line(log.sign(point.body.encode()))
    assert vkey.text == VECTORS["vkey"]
    assert line == VECTORS["signature_line"] + "\n"
    at = VECTORS["witness_time"]
    cosigned = checkpoint.cosignature_line(cosigner, witness.sign(checkpoint.cosignature_text(point.body, at)), at)
    assert cosigned == VECTORS["witness_line"] + "\n"
    note = checkpoint.parse_note(checkpoint.note_text(point, [line, cosigned]))
    assert note.checkpoint == point
    assert checkpoint.signed_by(note, notes.parse_vkey(VECTORS["vkey"]))
    assert checkpoint.signed_by(note, notes.parse_vkey(cosigner.text))
