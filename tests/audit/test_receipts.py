"""Receipts: what they say, whose they are, and that a promised entry which is not in the log is found (check P)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit.makers import SIGNING, Log, draft, public_key
from vault.audit.checkpoint import origin
from vault.audit.receipts import PROMISED_MS, Promises, Receipt, given_for, parse_receipt, receipt_message
from vault.octets import b64u

NAME = origin("vault.example", "ctl-1", 1)
HASH = bytes(range(32))
AT = 1_791_039_600_124
KEY = public_key("")


def receipt(hashed: bytes = HASH, at_ms: int = AT, name: str = NAME) -> Receipt:
    return Receipt(at_ms, hashed, SIGNING.sign(receipt_message(name, hashed, at_ms)))


def test_what_is_signed_and_sent_is_held_for_ever() -> None:
    assert receipt_message(NAME, HASH, AT) == (
        b"riserbo.receipt.v1\nvault.example/audit/ctl-1/1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n1791039600124\n"
    )
    version, at, hashed, signature = receipt().text.split(".")
    assert (version, at, hashed) == ("v1", "1791039600124", b64u(HASH))
    assert signature == b64u(SIGNING.sign(receipt_message(NAME, HASH, AT)))


@given(hashed=st.binary(min_size=32, max_size=32), at_ms=st.integers(0, 10**16 - 1))
def test_a_receipt_survives_its_text(hashed: bytes, at_ms: int) -> None:
    made = receipt(hashed, at_ms)
    assert parse_receipt(made.text) == made
    assert given_for(made, NAME, KEY)


def test_no_changed_receipt_is_this_log_s() -> None:
    made = receipt()
    others = [
        Receipt(AT + 1, HASH, made.signature),
        Receipt(AT, HASH[:-1] + b"\0", made.signature),
        Receipt(AT, HASH, made.signature[:-1] + b"\0"),
        receipt(name=origin("vault.example", "ctl-1", 2)),
        receipt(name=origin("vault.example", "ctl-2", 1)),
    ]
    assert [given_for(one, NAME, KEY) for one in others] == [False] * len(others)
    assert not given_for(made, NAME, bytes(32))


GOOD = receipt().text


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("v1.", "v2.", 1),
        GOOD.replace(str(AT), f"0{AT}"),
        GOOD.replace(str(AT), "-1"),
        GOOD.replace(str(AT), "9" * 17),
        GOOD + ".",
        GOOD + "\n",
        GOOD[:-1],
        GOOD[:-1] + "=",
        GOOD[:-2] + "__",  # stray bits
        "v1.0." + "A" * 42 + "B." + "A" * 86,
        ".".join([*GOOD.split(".")[:2], "A" * 44, GOOD.split(".")[3]]),
    ],
)
def test_an_irregular_receipt_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_receipt(text)


def checks(promises: Promises) -> list[str]:
    return [one.check for one in promises.findings.all()]


def test_a_promise_is_met_is_broken_or_may_still_be_met() -> None:
    leaf = b"leaf"
    from_leaf = Promises((NAME,), KEY, AT + PROMISED_MS)
    met = receipt(bytes.fromhex("5fbf0d5b0e3f0e1d5a1e9e8e7f1b5a6e") * 2)
    assert from_leaf.hold([met.text]).waiting == {met.leaf_hash: AT}
    from_leaf.meet(leaf)
    assert from_leaf.judge()
    assert checks(from_leaf) == ["receipt"]
    young = Promises((NAME,), KEY, AT + PROMISED_MS - 1).hold([GOOD])
    assert not young.judge()
    assert checks(young) == []
    archived = Promises((NAME,), KEY, AT + PROMISED_MS, began_ms=AT + 1).hold([GOOD])
    assert not archived.judge()
    assert archived.findings.all() == ()
    none = Promises((NAME,), KEY, AT)
    none.meet(leaf)
    assert none.judge()


def test_a_receipt_of_another_log_is_a_finding() -> None:
    held = Promises((NAME,), KEY, AT).hold(["nonsense"])
    assert checks(held) == ["receipt-signature"]
    held = Promises((NAME,), KEY, AT).hold([receipt(name="elsewhere").text])
    assert checks(held) == ["receipt-signature"]
    assert held.judge()


# --- against a log --------------------------------------------------------------------------------------------------------------


def promised(log: Log, hashed: bytes, at_ms: int = AT) -> Promises:
    return Promises((log.origin,), KEY, AT + PROMISED_MS).hold([receipt(hashed, at_ms, log.origin).text])


def test_an_entry_that_was_promised_and_deleted_before_it_was_sequenced_is_found_by_its_receipt_alone(log: Log) -> None:
    """No checkpoint, chain or proof knows of it: its writer had closed, and nothing of it was ever signed."""
    recorder = log.recorder()
    kept = recorder.record(log.controller_id, draft())
    recorder.close()
    log.settle()
    other = log.recorder()
    lost = other.record(log.controller_id, draft())
    log.attack(f"DELETE FROM vault.audit_pending WHERE controller_id = '{log.controller_id}'")
    log.settle()
    assert log.verify().ok
    assert log.verify(promises=promised(log, kept.leaf_hash)).ok
    report = log.verify(promises=promised(log, lost.leaf_hash))
    assert not report.ok
    assert [one.check for one in report.findings] == ["receipt"]


def test_a_receipt_too_young_to_be_judged_is_not_passed_over(log: Log) -> None:
    log.recorder().record(log.controller_id, draft())
    log.settle()
    report = log.verify(promises=promised(log, HASH, AT + 1))
    assert (report.findings, report.not_checked, report.ok) == ((), ("receipts",), False)


def test_a_recorder_that_notes_says_what_it_committed_and_no_other_does(log: Log) -> None:
    recorder, noted = log.recorder(), dict[str, bytes]()
    assert recorder.era(log.controller_id) == 0
    noting = recorder.noting(noted)
    permits = noting.record_all(log.controller_id, [draft(), draft("sub-1")])
    recorder.record(log.controller_id, draft())
    assert noted == {one.entry_id: one.leaf_hash for one in permits}
    assert recorder.era(log.controller_id) == noting.era(log.controller_id) == 1
    assert len({row[0] for row in log.pending()}) <= 2  # their lanes are the same
