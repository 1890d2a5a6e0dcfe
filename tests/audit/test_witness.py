"""What a witness signs, and what it does not: the checks of `add-checkpoint`, in their order."""

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.makers import HOST, SIGNING, vkey
from vault.audit.checkpoint import Checkpoint, cosignature_line, cosignature_text, note_text, origin, parse_note, signed_by
from vault.audit.merkle import Tree
from vault.audit.witness import Doubt, cosignatures, cosigned, expect_continued, hashes_of, seen_by
from vault.connectors.signer_state import DirectorySignerState
from vault.errors import AuditUnavailable, DatabaseUnavailable
from vault.notes import COSIGNATURE, VerifierKey
from vault.operations.witness import Witness, Witnessed, acknowledge, witness_log, witness_note

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(0x70, 0x90)))
WITNESS = VerifierKey("dpo.example/witness", SECRET.public_key().public_bytes_raw(), COSIGNATURE)
NOW = datetime(2026, 10, 4, 12, tzinfo=UTC)
LEAVES = [sha256(b"%d" % n).digest() for n in range(200)]
OTHERS = [*LEAVES[:3], *LEAVES[4:], LEAVES[0]]


def name(era: int = 1) -> str:
    return origin(HOST, "ctl-1", era)


def tree(size: int, leaves: list[bytes] = LEAVES) -> Tree:
    return Tree(size, lambda level, index: b"".join(leaves[:size][index * 256 : index * 256 + 256]) if level == 0 else b"")


def note(size: int, leaves: list[bytes] = LEAVES, era: int = 1, key: Ed25519PrivateKey = SIGNING) -> str:
    point = Checkpoint(name(era), size, tree(size, leaves).root())
    public = key.public_key().public_bytes_raw()
    return note_text(point, [VerifierKey(name(era), public).line(key.sign(point.body.encode()))])


def proof(old: int, new: int, leaves: list[bytes] = LEAVES) -> str:
    return "".join(f"{b64encode(one).decode()}\n" for one in tree(new, leaves).consistency(old))


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    seen, told = (DirectorySignerState(tmp_path / kept) for kept in ("seen", "told"))
    return Witness(vkey(name()), WITNESS, SECRET.sign, seen, told, lambda: NOW)


class Served:
    """A log as somebody outside reads it: the notes of its eras, and proofs."""

    def __init__(self, *notes: str, proven: str | None = "") -> None:
        self.notes = dict(enumerate(notes, 1))
        self.proven = proven

    def checkpoint(self, era: int) -> str | None:
        return self.notes.get(era)

    def consistency(self, _old: int, _new: int) -> str | None:
        return self.proven


def doubts(found: list[Witnessed]) -> list[str | None]:
    return [one.doubt for one in found]


def test_a_log_that_goes_on_is_kept_and_signed(witness: Witness) -> None:
    first = witness_note(note(60), None, witness)
    assert (first.origin, first.size, first.doubt, first.new_era) == (name(), 60, None, False)
    second = witness_note(note(100), proof(60, 100), witness)
    assert second.note is not None
    signed = parse_note(second.note)
    assert signed_by(signed, WITNESS)
    assert signed_by(signed, vkey(name()))
    assert second.note.encode().endswith(
        cosignature_line(
            WITNESS, SECRET.sign(cosignature_text(signed.checkpoint.body, int(NOW.timestamp()))), int(NOW.timestamp())
        ).encode()
    )
    assert witness.seen.last(name()) == note(100)
    again = witness_note(note(100), None, witness)
    assert again.doubt is None
    assert [parse_note(one).checkpoint.size for one in witness.seen.notes(name())] == [60, 100]


@pytest.mark.parametrize(
    ("text", "path", "doubt"),
    [
        ("nonsense", None, "not-a-checkpoint"),
        (note(100, key=SECRET), proof(60, 100), "signature"),
        (note(100).replace("ctl-1", "ctl-2"), proof(60, 100), "another-log"),
        (note(59), None, "smaller"),
        (note(60, OTHERS), None, "another-root"),
        (note(100), None, "no-proof"),
        (note(100), "", "proof"),
        (note(100), "not a hash\n", "proof"),
        (note(100), proof(60, 99), "proof"),
        (note(100, OTHERS), proof(60, 100, OTHERS), "proof"),
        (note(100), proof(60, 100) * 20, "proof-too-long"),
        (note(60), proof(60, 100), "proof"),
    ],
    ids=lambda one: one[:20] if isinstance(one, str) else "none",
)
def test_what_does_not_continue_is_not_signed_and_not_kept(witness: Witness, text: str, path: str | None, doubt: str) -> None:
    assert witness_note(note(60), None, witness).doubt is None
    if doubt == "proof" and text == note(60):
        with pytest.raises(Doubt, match="proof"):
            expect_continued(parse_note(text).checkpoint, parse_note(note(60)).checkpoint, hashes_of(path or ""))
        return
    found = witness_note(text, path, witness)
    assert (found.doubt, found.note) == (doubt, None)
    assert witness.seen.last(name()) == note(60)


def test_nothing_is_signed_that_is_not_durable(witness: Witness, tmp_path: Path) -> None:
    class Full(DirectorySignerState):
        def keep(self, _origin: str, _note: str, _at_ms: int) -> None:
            raise AuditUnavailable

    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return bytes(64)

    broken = Witness(witness.log_key, WITNESS, sign, Full(tmp_path / "full"), witness.told, lambda: NOW)
    with pytest.raises(AuditUnavailable):
        witness_note(note(60), None, broken)
    assert signed == []


def test_a_memory_that_cannot_be_read_is_told(witness: Witness) -> None:
    witness_note(note(60), None, witness)
    witness.seen._place(name()).write_text("x")  # type: ignore[attr-defined]
    assert witness_note(note(100), proof(60, 100), witness).doubt == "own-memory-damaged"


def test_a_new_era_is_new_until_it_was_told(witness: Witness) -> None:
    assert doubts(witness_log(Served(note(60)), witness)) == [None]
    both = witness_log(Served(note(60), note(10, era=2)), witness)
    assert [(one.origin, one.doubt, one.new_era) for one in both] == [(name(1), None, False), (name(2), None, True)]
    again = witness_log(Served(note(60), note(10, era=2)), witness)
    assert [(one.origin, one.doubt, one.new_era) for one in again] == [(name(2), None, True)]
    acknowledge(witness, again)
    later = witness_log(Served(note(60), note(20, era=2), proven=proof(10, 20)), witness)
    assert [(one.origin, one.doubt, one.new_era) for one in later] == [(name(2), None, False)]


class Stopping(Served):
    """A log that stops answering at one era, or for a proof."""

    stops_at: int | None = None

    def checkpoint(self, era: int) -> str | None:
        if era == self.stops_at:
            raise DatabaseUnavailable("log-unreadable")
        return super().checkpoint(era)


def test_a_log_that_stops_answering_hides_no_change_of_era(witness: Witness) -> None:
    log = Stopping(note(60))
    log.stops_at = 1
    with pytest.raises(DatabaseUnavailable):
        witness_log(log, witness)
    log.stops_at = None
    witness_log(log, witness)
    log.notes[2], log.stops_at = note(5, era=2), 3
    expected = [(name(2), None, True), (name(3), "log-unreadable", False)]
    assert [(one.origin, one.doubt, one.new_era) for one in witness_log(log, witness)][-2:] == expected
    for stops_at, doubt in ((2, "log-unreadable"), (None, "no-checkpoint")):  # nobody was told yet, whatever becomes of it
        log.stops_at = stops_at
        log.notes.pop(2, None)
        assert [(one.origin, one.doubt, one.new_era) for one in witness_log(log, witness)] == [(name(2), doubt, True)]
    log.notes[2] = note(4, era=2)
    shorter = witness_log(log, witness)
    assert [(one.doubt, one.new_era) for one in shorter] == [("smaller", True)]
    acknowledge(witness, shorter)
    assert [(one.doubt, one.new_era) for one in witness_log(log, witness)] == [("smaller", False)]
    log.stops_at = 2
    with pytest.raises(DatabaseUnavailable):
        witness_log(log, witness)


def test_a_log_without_a_checkpoint_is_told(witness: Witness) -> None:
    assert doubts(witness_log(Served(), witness)) == ["no-checkpoint"]
    assert doubts(witness_log(Served(note(60, era=2)), witness)) == ["another-log"]


def test_an_era_before_the_pinned_one_is_another_log() -> None:
    with pytest.raises(Doubt, match="another-log"):
        seen_by(note(60), vkey(name(2)))


def test_each_era_is_compared_with_its_own_last() -> None:
    one, other = (parse_note(note(60, era=era)).checkpoint for era in (1, 2))
    with pytest.raises(Doubt, match="another-log"):
        expect_continued(other, one, [])


def test_a_witnesss_line_is_taken_only_when_it_holds() -> None:
    text = cosigned(parse_note(note(60)), WITNESS, SECRET.sign, 1_791_040_000)
    found = cosignatures(parse_note(text), [WITNESS, VerifierKey("other", bytes(32), COSIGNATURE)])
    assert [(one.witness, one.seconds) for one in found] == [("dpo.example/witness", 1_791_040_000)]
    assert text.endswith(found[0].line)
    wrong = cosigned(parse_note(note(60)), WITNESS, lambda _message: bytes(64), 1)
    with pytest.raises(Doubt, match="cosignature"):
        cosignatures(parse_note(wrong), [WITNESS])
    assert cosignatures(parse_note(note(60)), [WITNESS]) == []
