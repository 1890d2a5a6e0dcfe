"""The note that brings a bundle into force: who signed what, and each way in which it is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from vault.notes import COSIGNATURE, VerifierKey
from vault.policy.activation import Activation, approvers, parse_activation, refusals, signed_note, signers

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
NEW, OLD = ("sha256:" + digit * 64 for digit in "ab")
FIRST = Activation("demo", 1, OLD, None, AT)
NEXT = Activation("demo", 2, NEW, OLD, AT)
PRIVATE = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number, name in enumerate(("ada", "bea", "cora"), 1)
}


def vkey(person: str, kind: int = 1) -> VerifierKey:
    return VerifierKey(f"demo/{person}", PRIVATE[person].public_key().public_bytes_raw(), kind)


def line(person: str, activation: Activation = NEXT) -> str:
    return vkey(person).line(PRIVATE[person].sign(activation.body.encode()))


FILE = (
    f"# who decides\npolicy ada {vkey('ada').text}\n\npolicy bea {vkey('bea').text}  # her deputy\ndpo cora {vkey('cora').text}\n"
)
KNOWN = approvers(FILE)
BOTH = signed_note(NEXT, [line("ada"), line("cora")])


def against(text: str = BOTH, **other: Any) -> list[str]:
    stated = {"controller_id": "demo", "digest": NEW, "last": FIRST, "at": AT, "widens": True, **other}
    return list(refusals(text, KNOWN, **stated))


def test_two_people_of_two_groups_bring_a_bundle_into_force() -> None:
    assert NEXT.body == f"riserbo.dev/policy-activation/1\ndemo\n2\n{NEW}\n{OLD}\n2026-03-01T09:00:00Z\n"
    assert parse_activation(BOTH)[0] == NEXT
    assert [one.person for one in signers(BOTH, KNOWN)] == ["ada", "cora"]
    assert against() == []


def test_the_first_activation_follows_nothing() -> None:
    text = signed_note(FIRST, [line("ada", FIRST), line("cora", FIRST)])
    assert parse_activation(text)[0] == FIRST
    assert against(text, digest=OLD, last=None) == []
    assert against(text, digest=OLD) == ["note.other-sequence", "note.other-previous"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (NEXT.body + "\n", ["note.unfit"]),
        (signed_note(NEXT, [line("ada"), line("bea")]), ["note.unsigned-by-dpo"]),
        (signed_note(NEXT, [line("ada"), line("ada")]), ["note.unsigned-by-dpo"]),
        (signed_note(NEXT, [line("cora")]), ["note.unsigned-by-policy"]),
        (signed_note(NEXT, [vkey("ada").line(bytes(64)), line("cora")]), ["note.unfit"]),
        (BOTH.replace("\n2\n", "\n3\n"), ["note.unfit"]),
        (BOTH.replace("a" * 64, "c" * 64), ["note.unfit"]),
        ("", ["note.unfit"]),
    ],
)
def test_a_note_that_two_people_did_not_sign_is_refused(text: str, told: list[str]) -> None:
    assert against(text) == told


def test_where_nobody_sees_more_one_signature_is_enough() -> None:
    assert against(signed_note(NEXT, [line("ada")]), widens=False) == []
    assert against(signed_note(NEXT, [line("cora")]), widens=False) == ["note.unsigned-by-policy"]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"controller_id": "other"}, ["note.other-controller"]),
        ({"digest": OLD}, ["note.other-bundle"]),
        ({"last": NEXT}, ["note.other-sequence", "note.other-previous"]),
        ({"last": Activation("demo", 1, NEW, None, AT)}, ["note.other-previous"]),
        ({"at": AT - timedelta(seconds=1)}, ["note.too-early"]),
    ],
)
def test_a_note_is_of_one_bundle_one_place_and_one_time(other: dict[str, Any], told: list[str]) -> None:
    assert against(**other) == told


def test_an_unknown_signature_counts_for_nothing() -> None:
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key = VerifierKey("demo/dan", stranger.public_key().public_bytes_raw())
    assert against(signed_note(NEXT, [line("ada"), key.line(stranger.sign(NEXT.body.encode()))])) == ["note.unsigned-by-dpo"]


@given(st.integers(0, len(BOTH.encode()) - 1), st.integers(0, 7))
def test_no_flipped_bit_leaves_a_note_valid(place: int, bit: int) -> None:
    octets = bytearray(BOTH.encode())
    octets[place] ^= 1 << bit
    assert against(octets.decode(errors="replace")) != []


@pytest.mark.parametrize(
    "text",
    [
        BOTH.replace("policy-activation/1", "policy-activation/2"),
        BOTH.replace("\ndemo\n", "\nDemo\n"),
        BOTH.replace("\n2\n", "\n02\n"),
        BOTH.replace("\n2\n", "\n2\n2\n"),
        BOTH.replace("b" * 64, "b" * 63),
        BOTH.replace("2026-03-01T09", "2026-3-01T09"),
        BOTH.replace("2026-03-01T09", "today"),
    ],
)
def test_an_irregular_note_is_no_activation(text: str) -> None:
    with pytest.raises(ValueError):
        parse_activation(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("policy ada\n", "is not"),
        (f"boss ada {vkey('ada').text}\n", "is not"),
        (f"policy ada {vkey('ada').text}\ndpo bea {vkey('ada').text}\n", "twice"),
        (f"policy ada {vkey('ada').text}\ndpo ada {vkey('bea').text}\n", "both groups"),
        (f"policy ada {vkey('ada', COSIGNATURE).text}\n", "witness"),
        ("policy ada ada+00000000+AAAA\n", "Ed25519"),
    ],
)
def test_a_key_file_that_would_let_one_person_decide_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        approvers(text)
