"""No reveal without a record: what one entry is, and what its permit opens."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.audit.makers import SECRET, Log, audit_key, chain_of, draft, leaves, unseal
from vault.audit import entry
from vault.audit.merkle import leaf_hash
from vault.errors import AuditUnavailable, KeysUnavailable, Unreadable
from vault.octets import b64u


def test_a_committed_entry_makes_a_permit_for_what_it_shows(log: Log) -> None:
    asked = draft("sub-1")
    permit = log.recorder().record(log.controller_id, asked)
    assert (permit.entry_id, permit.subject_id, permit.controller_id) == (asked.entry_id, "sub-1", log.controller_id)
    assert permit.agreements == {"email": "agr-1"}
    assert permit.expires_at <= time.monotonic() + 30
    own = next(row for row in log.pending() if orjson.loads(row[2])["id"] == asked.entry_id)
    assert permit.leaf_hash == leaf_hash(own[2])


def test_a_refusals_permit_covers_no_field(log: Log) -> None:
    recorder = log.recorder()
    assert recorder.record(log.controller_id, draft("sub-1", outcome="refused", opens={})).agreements == {}
    for outcome in ("refused", "failed"):
        with pytest.raises(ValueError, match="opens nothing"):
            recorder.record(log.controller_id, draft("sub-1", outcome=outcome))


@pytest.mark.parametrize("level", ["withheld", "absent", "token"])
def test_what_the_entry_withholds_is_not_opened(log: Log, level: str) -> None:
    with pytest.raises(ValueError, match="not opened"):
        log.recorder().record(log.controller_id, draft("sub-1", fields={"email": level}))


def test_nothing_is_recorded_while_the_trail_is_closed(log: Log) -> None:
    log.open = False
    with pytest.raises(AuditUnavailable) as refusal:
        log.recorder().record(log.controller_id, draft("sub-1"))
    assert refusal.value.retry_after_s == 5
    assert log.pending() == []


def test_a_writer_opens_with_its_first_batch_and_numbers_without_a_gap(log: Log) -> None:
    recorder = log.recorder()
    recorder.record(log.controller_id, draft("sub-1"))
    recorder.record_all(log.controller_id, [draft("sub-2"), draft(), draft("sub-3")])
    made = leaves(log)
    assert [one["number"] for one in made] == [1, 2, 3, 4, 5]
    assert made[0]["operation"] == "writer-open"
    assert made[0]["about"] == {"origin": log.origin, "mac_key": 1, "audit_secret": 1}
    hashes = [b64u(leaf_hash(row[2])) for row in log.pending()]
    assert [one["previous"] for one in made] == ["", *hashes[:-1]]
    assert log.head(made[0]["writer"]) == (2, b"")  # the decoy moved for the opening and for nobody


def test_permits_come_in_the_order_asked_and_heads_are_taken_in_one_order(log: Log) -> None:
    drafts = [draft(name) for name in ("sub-3", "sub-1", "", "sub-2", "sub-1")]
    permits = log.recorder().record_all(log.controller_id, drafts)
    assert [one.entry_id for one in permits] == [one.entry_id for one in drafts]
    order = [row[4] for row in log.pending()][1:]
    assert order == ["-", "sub-1", "sub-1", "sub-2", "sub-3"]
    assert log.recorder().record_all(log.controller_id, []) == []


def test_two_entries_of_one_person_in_one_batch_follow_each_other(log: Log) -> None:
    one, two = draft("sub-1"), draft("sub-1")
    log.recorder().record_all(log.controller_id, [one, two])
    key = entry.chain_key(audit_key("sub-1"), "open")
    first = entry.subject_tag(key, one.entry_id, 1, b"")
    second = entry.subject_tag(key, two.entry_id, 2, first)
    assert [leaf["subject"] for leaf in leaves(log)[1:]] == [b64u(first), b64u(second)]
    assert log.head("sub-1") == (2, second)


def test_a_stale_chain_head_is_read_again(log: Log) -> None:
    recorder = log.recorder()
    for _ in range(3):
        recorder.record(log.controller_id, draft("sub-1"))
    number, tag = log.head("sub-1")
    recorder.record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, number, tag)))
    recorder.record_all(log.controller_id, [draft("sub-1", chain=chain_of("sub-1", 1, 2, b"x" * 16)), draft("sub-2")])
    assert log.head("sub-1")[0] == 5
    assert [row[5] for row in log.pending() if row[4] == "sub-1"] == [1, 2, 3, 4, 5]
    recorder.close()
    log.settle()
    assert log.verify().ok


def test_a_head_of_an_older_era_counts_as_none(log: Log) -> None:
    log.ask("INSERT INTO vault.audit_subject_head VALUES (%s, 'sub-1', 'open', 0, 7, 'x')", log.controller_id)
    log.recorder().record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 0, 7, b"x")))
    assert log.head("sub-1")[0] == 1


def test_the_held_stream_is_a_chain_of_its_own(log: Log) -> None:
    held = replace(chain_of("sub-1"), stream="held")
    log.recorder().record_all(log.controller_id, [draft("sub-1"), draft("sub-1", chain=held)])
    rows = log.ask("SELECT stream, number FROM vault.audit_subject_head WHERE controller_id = %s ORDER BY 1", log.controller_id)
    assert rows == [("decoy", 1), ("held", 1), ("open", 1)]


def test_leaves_link_no_two_entries_of_a_person(log: Log) -> None:
    log.recorder().record_all(log.controller_id, [draft("sub-1"), draft("sub-1")])
    one, two = (set(strings(leaf)) for leaf in leaves(log)[1:])
    closed = {"disclose", "allowed", "agent", "t1", "helpdesk", "customer-care", "phone", "clear", "retail@1"}
    assert one & two <= closed | {leaves(log)[1]["bundle"], leaves(log)[0]["writer"]}


def test_a_leaf_names_nobody_and_nothing(log: Log) -> None:
    log.recorder().record(log.controller_id, draft("sub-1", details={"reason": "CANARY"}))
    octets = b"".join(row[2] for row in log.pending())
    for secret in ("sub-1", "agent-1", "agr-1", "TCK-1", "PDL-0231", "CANARY", "desk"):
        assert secret.encode() not in octets.replace(b"helpdesk", b"")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)


def test_details_open_again_and_fit_their_commitments(log: Log) -> None:
    somebody, nobody = draft("sub-1"), draft()
    log.recorder().record_all(log.controller_id, [somebody, nobody])
    for one, subject, key in ((somebody, "sub-1", audit_key("sub-1")), (nobody, "", SECRET)):
        rows = log.ask("SELECT leaf, sealed FROM vault.audit_pending WHERE entry_id = %s", one.entry_id)
        place = entry.details_place(log.controller_id, subject, one.entry_id)
        opening = entry.opened(orjson.loads(rows[0][0]), unseal(entry.details_key(key), place, rows[0][1]))
        assert (opening.details, opening.internal) == (one.details, one.internal)


def test_look_up_rows_hold_keyed_hashes_of_ticket_and_station(log: Log) -> None:
    log.recorder().record_all(
        log.controller_id, [draft("sub-1"), draft("sub-2", ticket_id=None, internal={"caller_id": "agent-1"})]
    )
    rows = log.ask(
        "SELECT ticket, station, caller_id, clear_count, roles, classes FROM vault.audit_pending"
        " WHERE controller_id = %s AND number > 1",
        log.controller_id,
    )
    key = entry.lookup_key(SECRET)
    hashes = entry.lookup_hash(key, "ticket", "TCK-1"), entry.lookup_hash(key, "station", "PDL-0231")
    assert rows == [(*hashes, "agent-1", 1, ["t1"], ["contact"]), (None, None, "agent-1", 1, ["t1"], ["contact"])]


def test_array_text_survives_quotes_and_commas(log: Log) -> None:
    odd = ('a"b', "c,d", "e\\f", "{}")
    log.recorder().record(log.controller_id, draft("sub-1", classes=odd))
    assert log.ask(
        "SELECT classes FROM vault.audit_pending WHERE subject_id = 'sub-1' AND controller_id = %s", log.controller_id
    ) == [(list(odd),)]


@pytest.mark.parametrize(
    "wrong", [{"details": {"a": 1.5}}, {"internal": {"a": None}}, {"fields": {"à": "clear"}}, {"terms": ("x" * 9000,)}]
)
def test_a_draft_outside_the_profile_is_refused_before_anything_is_written(log: Log, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        log.recorder().record(log.controller_id, draft("sub-1", **wrong))
    assert log.pending() == []


def test_the_longest_leaf_fits_its_table(log: Log) -> None:
    long = draft("sub-1", terms=("x" * 7000,))
    log.recorder().record(log.controller_id, long)
    assert max(len(row[2]) for row in log.pending()) <= entry.LEAF_MAX_BYTES


def test_a_spoilt_audit_key_silences_nobody_else(log: Log) -> None:
    def unwrap(_controller_id: str, subject_id: str, _epoch: int, _wrap: bytes) -> bytes:
        if subject_id == "sub-2":
            raise Unreadable
        return audit_key(subject_id)

    drafts = [draft("sub-1"), draft("sub-2"), draft("sub-3")]
    permits = log.recorder(unwrap_audit_key=unwrap).record_all(log.controller_id, drafts)
    assert [one.agreements for one in permits] == [{"email": "agr-1"}, {}, {"email": "agr-1"}]
    assert permits[1].subject_id == ""
    failed = next(one for one in leaves(log) if one["id"] == drafts[1].entry_id)
    assert failed["outcome"] == "failed"
    assert "subject" not in failed
    assert "fields" not in failed


def test_keys_that_do_not_answer_stop_the_recording(log: Log) -> None:
    def unavailable(_controller_id: str) -> tuple[int, bytes]:
        raise KeysUnavailable

    with pytest.raises(KeysUnavailable):
        log.recorder(audit_secret=unavailable).record(log.controller_id, draft())
    assert log.pending() == []


def test_a_controller_without_a_log_records_nothing(log: Log) -> None:
    log.ask("DELETE FROM vault.audit_head WHERE controller_id = %s", log.controller_id)
    with pytest.raises(AuditUnavailable):
        log.recorder().record(log.controller_id, draft())
