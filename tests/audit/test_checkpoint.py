import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault import notes
from vault.audit import checkpoint

ORIGIN = checkpoint.origin("vault.example", "ctl-1", 1)
LOG, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
POINT = checkpoint.Checkpoint(ORIGIN, 7, bytes(range(32)))


def key_of(private: Ed25519PrivateKey, name: str = ORIGIN, kind: int = notes.ED25519) -> notes.VerifierKey:
    return notes.VerifierKey(name, private.public_key().public_bytes_raw(), kind)


def text_of(private: Ed25519PrivateKey = LOG, point: checkpoint.Checkpoint = POINT) -> str:
    return checkpoint.note_text(point, [key_of(private).line(private.sign(point.body.encode()))])


def test_a_signed_note_is_read_back_and_verified() -> None:
    note = checkpoint.parse_note(text_of())
    assert ORIGIN == "vault.example/audit/ctl-1/1"
    assert note.checkpoint == POINT
    assert note.text == text_of()
    assert checkpoint.signed_by(note, key_of(LOG))


def test_another_key_of_the_same_name_does_not_verify() -> None:
    assert not checkpoint.signed_by(checkpoint.parse_note(text_of(OTHER)), key_of(LOG))
    forged = checkpoint.note_text(POINT, [key_of(LOG).line(OTHER.sign(POINT.body.encode()))])
    assert not checkpoint.signed_by(checkpoint.parse_note(forged), key_of(LOG))


def test_one_wrong_line_of_the_key_spoils_a_right_one() -> None:
    wrong = key_of(LOG).line(bytes(64))
    assert not checkpoint.signed_by(checkpoint.parse_note(text_of() + wrong), key_of(LOG))


@pytest.mark.parametrize("old", ["ctl-1", "\n7\n", base64.b64encode(POINT.root).decode()])
def test_a_changed_body_does_not_verify(old: str) -> None:
    new = {"ctl-1": "ctl-2", "\n7\n": "\n8\n"}.get(old, base64.b64encode(bytes(32)).decode())
    changed = text_of().replace(old, new, 1)
    assert not checkpoint.signed_by(checkpoint.parse_note(changed), key_of(LOG))


def test_a_signature_of_the_wrong_length_or_key_is_a_no() -> None:
    short = checkpoint.note_text(POINT, [key_of(LOG).line(bytes(63))])
    assert not checkpoint.signed_by(checkpoint.parse_note(short), key_of(LOG))
    nonsense = notes.VerifierKey(ORIGIN, bytes(31))
    assert not checkpoint.signed_by(checkpoint.parse_note(checkpoint.note_text(POINT, [nonsense.line(bytes(64))])), nonsense)


def test_a_cosignature_binds_its_time() -> None:
    witness = key_of(OTHER, "dpo.example/witness", notes.COSIGNATURE)
    line = checkpoint.cosignature_line(witness, OTHER.sign(checkpoint.cosignature_text(POINT.body, 1_791_040_000)), 1_791_040_000)
    assert checkpoint.signed_by(checkpoint.parse_note(text_of() + line), witness)
    later = checkpoint.cosignature_line(witness, OTHER.sign(checkpoint.cosignature_text(POINT.body, 1_791_040_000)), 1_791_040_001)
    assert not checkpoint.signed_by(checkpoint.parse_note(text_of() + later), witness)


@pytest.mark.parametrize(
    "text",
    [
        "",
        text_of().replace("\n\n", "\n"),
        text_of().replace("\n7\n", "\n07\n"),
        text_of().replace("\n7\n", "\n-7\n"),
        text_of().replace("\n7\n", f"\n{1 << 63}\n"),
        text_of().replace("\n7\n", "\n7\nextension\n"),
        text_of().replace(ORIGIN, "", 1),
        text_of()[:-1],
        text_of() + "\n",
        text_of().replace("— ", "- "),
        text_of() + "— name AAAA\n",
        text_of() + "— na+me AAAAAAAAAAAA\n",
        text_of() + "—  AAAAAAAAAAAA\n",
        text_of() + "— name ????\n",
        text_of() + "— name AAAAAAB=\n",
    ],
)
def test_an_irregular_note_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        checkpoint.parse_note(text)


def test_a_vkey_is_read_back() -> None:
    assert notes.parse_vkey(key_of(LOG).text + "\n") == key_of(LOG)
    witness = key_of(OTHER, "dpo.example/witness", notes.COSIGNATURE)
    assert notes.parse_vkey(witness.text) == witness


VKEY = key_of(LOG).text


@pytest.mark.parametrize(
    "text", ["", VKEY[:-4], VKEY.replace("vault", "vaults"), VKEY[:-5] + "AAAA=", key_of(LOG, "a b").text, key_of(LOG, kind=6).text]
)
def test_an_irregular_vkey_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        notes.parse_vkey(text)
