"""What witnesses signed, as kept: over the checkpoint it stands by, and the log agrees with that one too."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.test_witness import OTHERS, SECRET, WITNESS, name, note
from vault.audit.checkpoint import parse_note
from vault.audit.cosigned import Cosigned
from vault.audit.scan import GivenNote
from vault.audit.witness import cosigned
from vault.notes import VerifierKey

ANOTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(0x10, 0x30)))
RENEWED = VerifierKey(WITNESS.name, ANOTHER.public_key().public_bytes_raw(), WITNESS.kind)


def line(text: str, seconds: int = 5, key: VerifierKey = WITNESS, secret: Ed25519PrivateKey = SECRET) -> str:
    return cosigned(parse_note(text), key, secret.sign, seconds).removeprefix(text)


def judging(*notes: str) -> Cosigned:
    return Cosigned(name, [WITNESS], [GivenNote("state", text) for text in notes])


def test_what_holds_over_a_checkpoint_the_signer_knows_says_nothing_new() -> None:
    judged = judging("not a checkpoint", note(60))
    judged.take(1, 5, 60, WITNESS.name, line(note(60)), note(60))
    judged.take(1, 6, 60, WITNESS.name, line(note(60), 6), None)  # no copy was kept of it
    assert (judged.findings.all(), judged.given) == ((), [])


def test_a_checkpoint_nobody_else_brought_is_compared_with_the_log() -> None:
    judged = judging(note(60))
    judged.take(1, 5, 60, WITNESS.name, line(note(60, OTHERS)), note(60, OTHERS))
    judged.take(1, 6, 100, WITNESS.name, line(note(100), 6), note(100))
    judged.take(1, 7, 100, WITNESS.name, line(note(100), 7), note(100))  # once is enough
    said = f"witnessed by {WITNESS.name}"
    assert (judged.findings.all(), judged.given) == ((), [GivenNote(said, note(60, OTHERS)), GivenNote(said, note(100))])


@pytest.mark.parametrize(
    ("written", "copy", "era", "size", "seconds"),
    [
        ("no line", note(60), 1, 60, 5),
        ("", note(60), 1, 60, 5),
        ("", note(60) + line(note(60)), 1, 60, 5),
        (line(note(100)), note(60), 1, 60, 5),
        (line(note(60)), note(60, OTHERS), 1, 60, 5),
        (line(note(60)), note(60), 2, 60, 5),
        (line(note(60)), note(60), 1, 61, 5),
        (line(note(60)), note(60), 1, 60, 6),
        (line(note(61)), None, 1, 61, 5),
        (line(note(60)), "not a checkpoint", 1, 60, 5),
        (line(note(60), key=VerifierKey("another.example/witness", WITNESS.public, WITNESS.kind)), note(60), 1, 60, 5),
    ],
)
def test_what_does_not_hold_over_the_checkpoint_it_stands_by_is_found(
    written: str, copy: str | None, era: int, size: int, seconds: int
) -> None:
    """Seen failing without the signature checked, and without place and time compared."""
    judged = judging(note(60))
    judged.take(era, seconds, size, WITNESS.name, written, copy)
    (found,) = judged.findings.all()
    assert (found.check, found.position, judged.given) == ("witness", None, [])
    assert f"signed at {seconds} does not hold" in found.what


def test_a_line_of_nobody_who_is_pinned_counts_for_nothing() -> None:
    judged = judging()
    judged.take(1, 5, 60, "x", "no line", None)
    assert Cosigned(name, [], [GivenNote("state", note(60))]).findings.all() == judged.findings.all() == ()


@pytest.mark.parametrize("pinned", [[WITNESS], [WITNESS, RENEWED], [RENEWED, WITNESS], [RENEWED]])
def test_a_witness_that_renewed_its_key_accuses_nobody(pinned: list[VerifierKey]) -> None:
    """What it signed before is checked while that key is pinned too. Seen failing on a sound log, with one key of a name kept."""
    judged = Cosigned(name, pinned, [GivenNote("state", note(60))])
    judged.take(1, 5, 60, WITNESS.name, line(note(60)), note(60))
    judged.take(1, 6, 60, WITNESS.name, line(note(60), 6, RENEWED, ANOTHER), note(60))
    judged.take(1, 7, 100, WITNESS.name, line(note(100), 7, RENEWED, ANOTHER), note(100))
    assert judged.findings.all() == ()
    assert [one.text for one in judged.given] == ([note(100)] if RENEWED in pinned else [])
    judged.take(1, 8, 60, WITNESS.name, line(note(60), 8, pinned[0]), note(60, OTHERS))
    assert [one.check for one in judged.findings.all()] == ["witness"]
