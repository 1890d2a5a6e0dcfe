"""The table of roles through HTTP: every field, every role, every template; and the entry that recorded each answer.

Every person has a value in each field whose class their agreement holds a key of, so what is withheld is withheld although it is
there, and nothing is `absent` that could be shown. Officers of the house get the uniform 404; their cells are those of the
recorded decision.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.assurance.desk import NOBODY, Desk
from tests.makers import EVERYTHING, FILES, HEALTH, UNSHARED, make_complete_subject
from tests.policy import matrix
from tests.policy.makers import bundle
from vault.audit.reading import ReadEntry
from vault.policy.matrix import Cell
from vault.policy.recorded import spelt_out

TABLE = matrix.document()
CONTEXTS: Mapping[str, Mapping[str, Any]] = TABLE["contexts"]
CASES = list(matrix.roles())
READINGS = [(template, context) for template in TABLE["templates"] for context in CONTEXTS]
HIDDEN = {(template, office) for template in TABLE["templates"] for office in ("dpo", "operator")} | {
    ("retail", "system-marketing"),  # no ticket, and nothing was agreed that a marketing run could rest on
    ("health-insurance", "system-marketing"),
}
COMPANIONS_FORBID = ("dsr-officer", "customer", "system-marketing")
STORED = {**EVERYTHING, **HEALTH, **UNSHARED, **FILES, "mobile": "+393331234567", "phone": "+390212345678"}
_FILE = {"media_type": "application/pdf", "bytes_band": "10–100 kB", "received_on": "2026-03-01"}
MASKED: Mapping[tuple[str, str], Any] = {  # written out by hand, from what each mask is to show
    ("date_of_birth", "birth_year"): "1980",
    ("email", "email_domain"): "g•••@example.it",
    ("mobile", "phone_last3"): "+39 ••• 567",
    ("phone", "phone_last3"): "+39 ••• 678",
    ("address", "address_city"): {"street": None, "postal_code": None, "city": "Milano", "province": "MI", "country": "IT"},
    ("support_note", "text_redacted"): "•••",
    ("related_person", "initial"): "L•••",
    ("tax_code", "cf_last2"): "•••2S",
    ("vat_number", "last4"): "•••• 0157",
    ("identity_document", "last2"): "•••AA",
    ("passport", "last2"): "•••67",
    ("iban", "iban_last4"): "IT•• •••• 3456",
    ("account_holder", "initial"): "G•••",
    ("card", "card_last4"): "•••• 1111",
    ("balance", "money_band"): "1 000–5 000 EUR",
    ("annual_income", "money_band"): "25 000–50 000 EUR",
    ("identity_scan", "file_facts"): _FILE,
    ("correspondence", "file_facts"): _FILE,
}


@dataclass(frozen=True)
class Reading:
    """One profile asked for with all 38 fields: the answer, and the entry it names."""

    subject_id: str
    answer: httpx2.Response
    entry: ReadEntry


@dataclass(frozen=True)
class Readings:
    """All of them, and the entries the log holds of callers since the first."""

    of: Mapping[tuple[str, str], Reading]
    logged: tuple[str, ...]


@pytest.fixture(scope="module")
def people(shared_desk: Desk) -> Mapping[str, str]:
    """One person for each template, with a ticket for everybody who needs one."""
    made = {}
    for number, template in enumerate(TABLE["templates"]):
        person = make_complete_subject(shared_desk.vault, shared_desk.controller_id, template, customer_number=f"C000000{number}")
        made[template] = person
        for context, stated in CONTEXTS.items():
            if stated["ticket"] == "verified":
                shared_desk.ticket(person, context)
    return made


def ask(desk: Desk, person: str, context: str, *fields: str) -> httpx2.Response:
    """Read a profile in a context of the table."""
    stated = CONTEXTS[context]
    ticket = f"TCK-{context}-{person[-6:]}" if stated["ticket"] == "verified" else None
    role = stated["roles"][0]
    return desk.profile(role, person, *fields, purpose=stated["purpose"], channel=stated["channel"], ticket=ticket)


@pytest.fixture(scope="module")
def readings(shared_desk: Desk, people: Mapping[str, str]) -> Readings:
    before = shared_desk.entries()
    answers = {(t, c): ask(shared_desk, people[t], c, *TABLE["cells"]) for t, c in READINGS}
    logged = shared_desk.entries()
    assert logged[: len(before)] == before
    found = {at: Reading(people[at[0]], one, shared_desk.entry(one.headers["Vault-Entry"])) for at, one in answers.items()}
    return Readings(found, tuple(logged[len(before) :]))


def expected(template: str, context: str) -> dict[str, Cell]:
    """Return the cells of one column: level, mask and reason by field.

    The table knows one agreement; a real contract comes with companions that cover nothing yet. Of a field that none of them names,
    the reason is told of the one that forbids it, before that of one that merely does not cover it.
    """
    cells = {
        case.field: (case.level, case.mask, case.because) for case in CASES if (case.template, case.context) == (template, context)
    }
    if template == "health-insurance" and cells["union_membership"][2] == "no-agreement" and context in COMPANIONS_FORBID:
        cells["union_membership"] = ("withheld", None, "special-category")
    return cells


def levels(cells: Mapping[str, Cell]) -> dict[str, str]:
    """Return the levels an entry names; a field its person must never hear of is not among them."""
    shown = {name: f"masked:{mask}" if level == "masked" else level for name, (level, mask, _) in cells.items()}
    return {name: level for name, level in shown.items() if name != "aml_note"}


def test_the_whole_table_is_driven() -> None:
    assert len(TABLE["cells"]) == 38
    assert len(TABLE["columns"]) == 10  # nine roles, and the system once more for a marketing run
    assert len(CASES) == 38 * 10 * 3
    shown = Counter(case.template for case in CASES if case.level != "withheld")
    assert shown == {"retail": 120, "health-insurance": 161, "marketing": 19}  # a table of refusals would prove little


@pytest.mark.parametrize(("template", "context"), [one for one in READINGS if one not in HIDDEN])
def test_each_role_gets_what_the_table_says(readings: Readings, template: str, context: str) -> None:
    answer = readings.of[template, context].answer
    assert answer.status_code == 200, answer.text
    shown = answer.json()["fields"]
    assert {name: (one["state"], one["mask"], one["because"]) for name, one in shown.items()} == expected(template, context)


@pytest.mark.parametrize(("template", "context"), [one for one in READINGS if one not in HIDDEN])
def test_each_value_is_as_clear_as_its_cell(readings: Readings, template: str, context: str) -> None:
    stored = {**STORED, "customer_number": f"C000000{list(TABLE['templates']).index(template)}"}
    for name, one in readings.of[template, context].answer.json()["fields"].items():
        if one["state"] == "clear":
            assert one["value"] == stored[name], name
        elif one["state"] == "masked":
            assert one["value"] == MASKED[name, one["mask"]], name
        elif one["state"] == "token":
            assert one["value"].startswith("tok_"), name
            assert len(one["value"]) == 30, name
        else:
            assert (one["state"], one["value"]) == ("withheld", None), name


@pytest.mark.parametrize(("template", "context"), sorted(HIDDEN))
def test_who_may_not_know_gets_the_uniform_404_and_the_decision_is_on_record(
    readings: Readings, template: str, context: str
) -> None:
    reading = readings.of[template, context]
    problem = reading.answer.json()
    assert (reading.answer.status_code, problem["type"]) == (404, "https://riserbo.dev/problems/not-found")
    assert set(problem) == {"type", "title", "status", "detail", "instance", "decision_id", "entry_id"}
    decided = reading.entry.internal["decision"]
    returned, _ = spelt_out(bundle().lexicon, decided)
    assert returned == {name: f"withheld:{because}" for name, (_, _, because) in expected(template, context).items()}
    assert decided["subject"] == reading.subject_id
    assert reading.entry.leaf["outcome"] == "refused"


@pytest.mark.parametrize(("template", "context"), READINGS)
def test_the_entry_says_what_the_answer_says(readings: Readings, template: str, context: str) -> None:
    reading, cells = readings.of[template, context], expected(template, context)
    leaf, internal = reading.entry.leaf, reading.entry.internal
    assert leaf["operation"] == "disclose"
    assert leaf["fields"] == levels(cells)
    assert leaf["count"] == sum(level not in ("withheld", "absent") for level in levels(cells).values())
    assert reading.entry.subject_id == reading.subject_id
    returned, deciding = spelt_out(bundle().lexicon, internal["decision"])
    assert {name: one.partition(":")[0] for name, one in returned.items()} == {name: level for name, (level, _, _) in cells.items()}
    assert deciding.keys() == {name for name, (level, _, _) in cells.items() if level != "withheld"}
    if (template, context) not in HIDDEN:
        body = reading.answer.json()
        assert (body["entry_id"], body["decision_id"]) == (leaf["id"], reading.entry.details["decision_id"])
        resting = reading.entry.details["agreements"]
        assert set(body["agreements"]) == resting.keys()
        assert {name for names in resting.values() for name in names} == {
            name for name, level in levels(cells).items() if level not in ("withheld", "absent")
        }
        assert leaf["outcome"] == "partial"


def test_each_answer_left_exactly_one_entry(readings: Readings) -> None:
    named = [one.answer.headers["Vault-Entry"] for one in readings.of.values()]
    assert len(set(named)) == len(READINGS)
    assert sorted(named) == sorted(readings.logged)


@pytest.mark.parametrize(("template", "context"), READINGS)
def test_nothing_withheld_is_in_the_answer(readings: Readings, template: str, context: str) -> None:
    """Not only not under its own name: nowhere in the body or a header."""
    answer, cells = readings.of[template, context].answer, expected(template, context)
    sent = answer.text + repr(answer.headers)
    clear = [str(STORED[name]) for name, (level, _, _) in cells.items() if level == "clear"]
    for name, (level, _, _) in cells.items():
        value = STORED[name]
        if level in ("withheld", "token") and isinstance(value, str) and len(value) > 4 and not any(value in one for one in clear):
            assert value not in sent, name


@pytest.mark.parametrize("context", ["t1", "t2", "billing", "medical", "dsr-officer", "customer", "system"])
def test_without_fields_the_answer_is_what_the_role_may_see(shared_desk: Desk, people: Mapping[str, str], context: str) -> None:
    column = TABLE["columns"].index(context)
    answer = ask(shared_desk, people["health-insurance"], context)
    assert set(answer.json()["fields"]) == {name for name, cells in TABLE["cells"].items() if cells[column] not in ("-", "V")}


def test_a_missing_person_is_answered_as_an_officer_is(shared_desk: Desk, readings: Readings) -> None:
    """What a 404 tells: nothing. The ids and the request id are all that differ."""
    missing = shared_desk.profile("dpo", NOBODY, *TABLE["cells"], ticket="TCK-dpo-zzzzzz", purpose="customer-management")
    refused = readings.of["retail", "dpo"].answer
    assert (missing.status_code, set(missing.json()), list(missing.headers)) == (404, set(refused.json()), list(refused.headers))
