"""The forms in which entries leave: JSON lines, OCSF compared with its released schema, and the register of a bank."""

import csv
import io
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest

from tests.audit.ocsf import datastore_activity, faults
from vault.audit import garante, ocsf
from vault.audit.exported import Line, destination_key, json_line, pseudonym
from vault.audit.ocsf import event, ocsf_line

LEAF: dict[str, Any] = {
    "v": 1, "id": "ent_" + "a" * 26, "at": 1_791_039_600_124, "operation": "disclose", "outcome": "partial", "kind": "agent",
    "caller": "tag", "roles": ["t1"], "recipient": "helpdesk", "purpose": "customer-care", "channel": "phone",
    "fields": {"email": "clear", "iban": "masked:iban_last4", "health_note": "withheld"}, "count": 2, "terms": ["retail@1"],
    "bundle": "q1Zk", "writer": "wrt_x", "number": 2, "previous": "",
}  # fmt: skip
LINE = Line(
    controller_id="ctl-1", era=1, position=0, leaf=LEAF, subject="p_abc", caller="c_abc", team="support", ticket="t_abc",
    ticket_state="verified", station="w_abc", clear_classes=("contact", "financial"), flags=("break-glass",),
    relationship="current-account",
)  # fmt: skip
OWN = replace(
    LINE, leaf={"v": 1, "id": "ent_b", "at": 5, "operation": "writer-open", "outcome": "done", "kind": "system"}, subject=None,
    caller=None, team=None, ticket=None, ticket_state=None, station=None, clear_classes=(), flags=(), relationship=None,
)  # fmt: skip


def acted(**changes: Any) -> Line:
    return replace(LINE, leaf={**LEAF, **changes})


# --- OCSF


@pytest.mark.parametrize(
    "line",
    [LINE, OWN, replace(OWN, differs=True), acted(kind="system"), acted(kind="job"), acted(fields={}, outcome="refused")],
    ids=["disclosure", "the log's own", "differs", "system", "job", "refusal"],
)
def test_an_event_is_one_of_the_released_schema(line: Line) -> None:
    assert list(faults(datastore_activity(), event(line))) == []
    assert orjson.loads(ocsf_line(line)) == event(line)


@pytest.mark.parametrize(
    ("operation", "activity"),
    [("disclose", 1), ("reveal", 1), ("verify", 1), ("amend", 2), ("find", 4), ("review-search", 4), ("enroll", 6), ("erase", 7),
     ("agree", 99)],
)  # fmt: skip
def test_each_act_has_its_activity(operation: str, activity: int) -> None:
    made = event(acted(operation=operation))
    assert (made["activity_id"], made["type_uid"]) == (activity, 600_500 + activity)
    assert list(faults(datastore_activity(), made)) == []


def test_an_event_says_what_was_answered_and_how() -> None:
    made = event(LINE)
    assert (made["status_id"], made["status_detail"], made["severity_id"]) == (1, "partial", 3)
    assert made["message"] == "disclose: 1 clear, 1 masked, 1 withheld"
    assert made["metadata"]["version"] == "1.8.0"
    assert [one["category_id"] for one in made["database"]["data_classifications"]] == [1, 3]
    assert made["unmapped"]["position"] == 0
    assert event(acted(outcome="refused"))["status_id"] == event(acted(outcome="failed"))["status_id"] == 2
    assert event(replace(LINE, flags=()))["severity_id"] == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: made.update(shoe_size=44),
        lambda made: made["actor"]["user"].update(surname="Bianchi"),
        lambda made: made["metadata"].pop("version"),
        lambda made: made.pop("database"),
        lambda made: made.update(severity_id=77),
        lambda made: made.update(time="now"),
        lambda made: made["src_endpoint"].clear(),
    ],
)
def test_the_check_finds_what_the_schema_does_not_know(spoil: Any) -> None:
    made = orjson.loads(ocsf_line(LINE))
    spoil(made)
    assert len(list(faults(datastore_activity(), made))) == 1


# --- JSON lines


def test_a_line_holds_metadata_and_pseudonyms() -> None:
    made = orjson.loads(json_line(LINE))
    assert made["caller"] == {"kind": "agent", "label": "c_abc", "roles": ["t1"], "team": "support"}
    assert (made["subject"], made["ticket"], made["station"]) == ("p_abc", {"label": "t_abc", "state": "verified"}, "w_abc")
    assert made["at"] == "2026-10-03T15:00:00.124Z"
    assert orjson.loads(json_line(OWN))["ticket"] is None


def test_two_destinations_cannot_compare_what_they_hold() -> None:
    keys = [destination_key(b"s" * 32, name) for name in ("siem", "auditor")]
    assert len({pseudonym(key, kind, b"sub_x") for key in keys for kind in "pc"}) == 4
    assert pseudonym(keys[0], "p", b"sub_x") == pseudonym(destination_key(b"s" * 32, "siem"), "p", b"sub_x")


# --- the register of a bank


def rows(*lines: Line) -> list[list[str]]:
    text = (garante.HEAD + b"".join(garante.csv_row(line) for line in lines)).decode("utf-8-sig")
    assert text.count("\r\n") == len(lines) + 1
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))


def test_the_register_has_its_five_columns_first_and_none_is_empty() -> None:
    head, row = rows(LINE)
    assert garante.HEAD.startswith(b"\xef\xbb\xbfcodice_incaricato;")
    assert head == [
        "codice_incaricato", "data_ora", "codice_postazione", "codice_cliente", "tipologia_rapporto", "operazione", "esito",
        "finalita", "entry_id", "posizione",
    ]  # fmt: skip
    assert row[:5] == ["c_abc", "2026-10-03T17:00:00.124+02:00", "w_abc", "p_abc", "current-account"]
    assert row[5:] == ["disclose", "partial", "customer-care", LEAF["id"], "0"]


def test_times_are_rome_s_with_their_offset_in_winter_too() -> None:
    winter = acted(at=1_800_000_000_000)  # 2027-01-15
    assert rows(winter)[1][1].endswith("+01:00")
    assert datetime.fromisoformat(rows(winter)[1][1]).timestamp() == 1_800_000_000


@pytest.mark.parametrize("name", ["caller", "station", "subject", "relationship"])
@pytest.mark.parametrize("missing", [None, ""])
def test_a_row_that_lacks_one_of_the_five_is_an_error(name: str, missing: str | None) -> None:
    with pytest.raises(garante.Incomplete):
        garante.csv_row(replace(LINE, **{name: missing}))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1+1", "'=1+1"), ("+39", "'+39"), ("-1", "'-1"), ("@x", "'@x"), ("\tx", "'\tx"), ("\rx", '"\'\rx"'), ("a;b", '"a;b"'),
     ('a"b', '"a""b"'), ("a\nb", '"a\nb"'), ("plain", "plain"), ("a=b", "a=b")],
)  # fmt: skip
def test_a_cell_is_text_to_a_spreadsheet(text: str, cell: str) -> None:
    assert garante.cell(text) == cell


@pytest.mark.parametrize(
    ("line", "belongs"),
    [(LINE, True), (acted(kind="system"), True), (acted(kind="dpo"), True), (acted(kind="subject"), False),
     (acted(kind="job"), False), (acted(operation="review-open", kind="dpo"), False), (acted(outcome="refused"), True)],
)  # fmt: skip
def test_the_register_is_of_whoever_is_in_charge_on_customers(line: Line, belongs: bool) -> None:
    assert garante.belongs(line.leaf, about_somebody=True) is belongs
    assert not garante.belongs(line.leaf, about_somebody=False)


def test_every_act_the_table_names_is_known_by_number() -> None:
    assert set(ocsf.ACTIVITIES.values()) == {1, 2, 4, 6, 7}
