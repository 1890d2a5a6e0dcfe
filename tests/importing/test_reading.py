"""One line, one customer, or the one code it is refused with."""

import json
import pickle
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from samples.make_crm_it import make
from tests.importing.makers import GOOD, HEADER, KINDS, LAYOUT, ROOT, TODAY, codes, mapping, read, shipped
from vault.errors import InvalidValue
from vault.importing.lines import Record
from vault.importing.mapping import load_mapping
from vault.importing.reading import ClaimedConsent, Customer, CustomerReader, Refusal
from vault.importing.values import amount_of, date_of
from vault.profiles.catalogue import names_card_secret
from vault.profiles.normalise import normalise

EXPORT = ROOT.parent / "shared" / "data" / "crm_export.csv"


def one(line: str, **changes: Any) -> Customer | Refusal:
    (found,) = read(f"{HEADER}\n{line}\n", mapping(**changes))
    return found


def code(line: str, **changes: Any) -> tuple[str | None, str]:
    found = one(line, **changes)
    assert isinstance(found, Refusal)
    return found.column, found.code


def test_a_good_line_is_a_customer_with_normalised_values() -> None:
    found = one(GOOD)
    assert isinstance(found, Customer)
    assert found.values == {
        "customer_number": "C-1",
        "family_name": "Lùvari",
        "annual_income": {"amount": "38000.50", "currency": "EUR"},
        "iban": "IT60X0542811101000000123456",
    }
    assert (found.line, found.template, found.signed_on) == (2, "retail", date(2020, 2, 1))
    assert found.consents == (ClaimedConsent("marketing", date(2025, 4, 3), "phone", "telefono"),)


def test_the_day_a_treatment_ended_is_read_and_an_empty_cell_says_nothing() -> None:
    """A mapping without it makes of a line the digest it always had."""
    layout, header = mapping(treatment_ended="Finita"), f"{HEADER};Finita"
    said, silent, ahead, none = read(f"{header}\n{GOOD};31/01/2015\n{GOOD};\n{GOOD};01/01/2027\n{GOOD};mai\n", layout)
    before = one(GOOD)
    assert isinstance(before, Customer)
    assert isinstance(said, Customer)
    assert isinstance(silent, Customer)
    assert (said.treatment_ended, silent.treatment_ended) == (date(2015, 1, 31), None)
    assert pickle.loads(pickle.dumps(said)) == said  # noqa: S301 - our own
    assert silent.digest() == before.digest() != said.digest()
    assert [(one.column, one.code) for one in (ahead, none) if isinstance(one, Refusal)] == [
        ("Finita", "treatment.invalid_date")
    ] * 2


@pytest.mark.parametrize(
    ("line", "column", "wanted"),
    [
        (";Lùvari;;;base;01/02/2020;N;;", "Numero", "customer_number.missing"),
        ("C?;Lùvari;;;base;01/02/2020;N;;", "Numero", "customer_number.syntax"),
        ("C-1;Lùvari;38,000.00;;base;01/02/2020;N;;", "Reddito", "money.invalid"),
        ("C-1;Lùvari;;IT61X0542811101000000123456;base;01/02/2020;N;;", "IBAN", "iban.checksum"),
        ("C-1;Lùvari;;;oro;01/02/2020;N;;", "Contratto", "agreement.unknown_template"),
        ("C-1;Lùvari;;;;01/02/2020;N;;", "Contratto", "agreement.unknown_template"),
        ("C-1;Lùvari;;;base;;N;;", "Dal", "agreement.missing_date"),
        ("C-1;Lùvari;;;base;2020-02-01;N;;", "Dal", "agreement.invalid_date"),
        ("C-1;Lùvari;;;base;01/02/2020;forse;;", "Consenso", "consent.invalid"),
        ("C-1;Lùvari;;;base;01/02/2020;S;;web", "Quando", "consent.missing_date"),
        ("C-1;Lùvari;;;base;01/02/2020;S;30/02/2020;web", "Quando", "consent.invalid_date"),
        ("C-1;Lùvari;;;base;01/02/2020;S;01/02/2020;", "Come", "consent.missing_channel"),
        ("C-1;Lùvari;;;base;01/02/2020;S;01/02/2020;fax", "Come", "consent.unknown_channel"),
        ("C-1;Lùvari;;;base;01/02/2020;N", None, "columns.count"),
        (GOOD + ";", None, "columns.count"),
    ],
)
def test_a_refusal_names_line_column_and_code(line: str, column: str | None, wanted: str) -> None:
    assert code(line) == (column, wanted)


def test_of_several_faults_structure_comes_first_then_the_customer_number_then_the_leftmost_column() -> None:
    everything = ";Lùvari;x;y;oro;z;S;;"
    assert code(everything + ";") == (None, "columns.count")
    assert code(everything) == ("Numero", "customer_number.missing")
    assert code("C-1;Lùvari;x;y;oro;z;S;;") == ("Reddito", "money.invalid")
    assert code("C-1;Lùvari;;y;oro;z;S;;") == ("IBAN", "iban.syntax")
    moved = "Consenso;Quando;Come;Dal;Contratto;IBAN;Reddito;Cognome;Numero"
    for line, wanted in ((b"S;;;z;oro;y;x;;\n", "customer_number.missing"), (b"S;;;z;oro;y;x;;C-1\n", "consent.missing_date")):
        assert codes(read(moved.encode() + b"\n" + line)) == {2: wanted}


def test_a_date_of_birth_after_today_is_refused() -> None:
    layout = {"customer_number": "Numero", "date_of_birth": "Cognome"}
    rest = ["Reddito", "IBAN"]
    assert code("C-1;23/11/2026;;;base;01/02/2020;N;;", fields=layout, ignored=rest) == ("Cognome", "date_of_birth.invalid")
    assert isinstance(one("C-1;22/11/2026;;;base;01/02/2020;N;;", fields=layout, ignored=rest), Customer)


def test_no_consent_is_refused_for_its_age_or_for_lying_ahead() -> None:
    for day in ("01/01/1990", "31/12/2099"):
        assert isinstance(one(f"C-1;Lùvari;;;base;01/02/2020;S;{day};web"), Customer)


def test_no_word_and_the_word_for_no_are_both_no_consent() -> None:
    for word in ("", "N", "n"):
        found = one(f"C-1;Lùvari;;;base;01/02/2020;{word};03/04/2025;web")
        assert isinstance(found, Customer)
        assert found.consents == ()


def test_parts_make_one_value_and_the_part_at_fault_is_named() -> None:
    parts = {"street": "Cognome", "postal_code": "Reddito", "city": "IBAN", "country": {"constant": "IT"}}
    fields = {"customer_number": "Numero", "address": {"parts": parts}}
    found = one("C-1;Via Prova;20121;Milano;base;01/02/2020;N;;", fields=fields)
    assert isinstance(found, Customer)
    assert found.values["address"] == {
        "street": "Via Prova",
        "postal_code": "20121",
        "city": "Milano",
        "province": None,
        "country": "IT",
    }
    assert code("C-1;Via Prova;2;Milano;base;01/02/2020;N;;", fields=fields) == ("Reddito", "address.syntax")
    empty = one("C-1;;;;base;01/02/2020;N;;", fields=fields)
    assert isinstance(empty, Customer)
    assert "address" not in empty.values


def test_codes_translate_whatever_the_case_and_unknown_ones_are_refused() -> None:
    gender = {"column": "Cognome", "codes": {"F": "female"}}
    fields = {"customer_number": "Numero", "gender": gender, "preferred_language": {"constant": "it"}}
    found = one("C-1;f;;;base;01/02/2020;N;;", fields=fields, ignored=["Reddito", "IBAN"])
    assert isinstance(found, Customer)
    assert (found.values["gender"], found.values["preferred_language"]) == ("female", "it")
    assert code("C-1;Q;;;base;01/02/2020;N;;", fields=fields, ignored=["Reddito", "IBAN"]) == ("Cognome", "code.unknown")


def test_a_constant_that_is_no_value_names_no_column() -> None:
    fields = {"customer_number": "Numero", "preferred_language": {"constant": "xx"}}
    assert code(GOOD, fields=fields, ignored=["Cognome", "Reddito", "IBAN"]) == (None, "code.unknown")


def test_a_constant_template_serves_every_line() -> None:
    found = one(GOOD, agreement={"template": {"constant": "retail"}, "signed_on": "Dal"}, ignored=["Contratto"])
    assert isinstance(found, Customer)
    assert found.template == "retail"


def test_lines_of_json_are_read_by_the_same_mapping() -> None:
    layout = load_mapping(
        yaml.safe_dump({**LAYOUT, "file": {"format": "ndjson"}, "fields": {
            "customer_number": "Numero", "annual_income": "Reddito", "iban": "/conto/iban", "family_name": "Cognome"}}),
        KINDS,
        names_card_secret,
    )  # fmt: skip
    good = {"Numero": 17, "Cognome": "Lùvari", "Reddito": 38000.5, "conto": {"iban": "IT60X0542811101000000123456"},
            "Contratto": "base", "Dal": "2020-02-01", "Consenso": None}  # fmt: skip
    lines = [
        good,
        {**good, "altro": 1},
        {**good, "conto": None},
        {**good, "conto": {"iban": ["x"]}},
        {**good, "Cognome": True, "conto": "x"},
        {**good, "Numero": None, "Reddito": "x"},
    ]
    found = read("\n".join(json.dumps(line) for line in lines), layout)
    first = found[0]
    assert isinstance(first, Customer)
    assert first.values["annual_income"] == {"amount": "38000.50", "currency": "EUR"}
    assert first.values["customer_number"] == "17"
    assert codes(found) == {2: "columns.unmapped", 4: "value.shape", 6: "customer_number.missing"}
    assert codes(read("[1]\n{", layout)) == {1: "line.json", 2: "line.json"}


def test_the_digest_follows_what_is_said_not_how_or_where() -> None:
    respelled = GOOD.replace("38.000,5", "38000,50").replace("IT60X05", "it60 x05")
    first, moved = read(f"{HEADER}\n{GOOD}\n\n{respelled}")
    other = one(GOOD.replace("03/04/2025", "04/04/2025"))
    assert isinstance(first, Customer)
    assert isinstance(moved, Customer)
    assert isinstance(other, Customer)
    assert first.digest() == moved.digest() != other.digest()


@pytest.mark.parametrize("header", ["", "Numero;Cognome", '"Numero;'])
def test_a_header_that_is_not_the_mappings_stops_everything(header: str) -> None:
    with pytest.raises(InvalidValue):
        CustomerReader(
            mapping(), KINDS, normalise, TODAY, Record(1, header.encode(), "line.csv" if header.startswith('"') else None)
        )


def test_neither_refusals_nor_readers_show_a_value() -> None:
    found = read(f"{HEADER}\n{GOOD}\n{GOOD.replace('IT60', 'IT61')}\n")
    assert "Lùvari" not in repr(found)
    assert "0542811101" not in repr(found)


def test_a_reader_can_be_sent_to_another_process() -> None:
    reader = CustomerReader(mapping(), KINDS, normalise, TODAY, Record(1, HEADER.encode()))
    sent = pickle.loads(pickle.dumps(reader))  # noqa: S301 what was pickled here
    assert sent.read(Record(2, GOOD.encode())) == reader.read(Record(2, GOOD.encode()))


@given(line=st.text(max_size=60), octets=st.binary(max_size=60))
@settings(max_examples=150)
def test_whatever_a_line_holds_it_is_a_customer_or_one_code(line: str, octets: bytes) -> None:
    for body in (line.encode(), octets, GOOD.replace("Lùvari", line).encode()):
        for found in read(HEADER.encode() + b"\n" + body):
            assert isinstance(found, Customer) or found.code.count(".") == 1


@given(day=st.dates(min_value=date(1850, 1, 1)))
def test_every_order_of_a_date_reads_its_own_spelling(day: date) -> None:
    assert date_of(f"{day.day:02}/{day.month:02}/{day.year:04}", "day-month-year") == day
    assert date_of(f"{day.month}.{day.day}.{day.year:04}", "month-day-year") == day
    assert date_of(f"{day.year:04}-{day.month:02}-{day.day:02}", "year-month-day") == day


@pytest.mark.parametrize("text", ["1/2/20", "20/2/1", "01/02-2020", "2020/02/01", "", "01/02/2020 10:00", "٠١/٠٢/٢٠٢٠"])
def test_a_date_with_two_digits_of_year_or_mixed_separators_is_none(text: str) -> None:
    assert date_of(text, "day-month-year") is None


@pytest.mark.parametrize(
    ("text", "comma", "point"),
    [
        ("38.000,00", "38000.00", None), ("38,000.00", None, "38000.00"), ("-7", "-7.00", "-7.00"), ("0012", "12.00", "12.00"),
        ("1.5", None, "1.50"), ("1,5", "1.50", None), ("1.000", "1000.00", None), ("38.00.000", None, None), ("1,234,", None, None),
        ("", None, None), ("€ 5", None, None), ("1.234.567,8", "1234567.80", None),
    ],
)  # fmt: skip
def test_an_amount_is_read_with_its_own_decimal_sign_only(text: str, comma: str | None, point: str | None) -> None:
    assert (amount_of(text, "comma"), amount_of(text, "point")) == (comma, point)


def test_the_shipped_sample_is_what_its_script_makes() -> None:
    octets, key = make()
    assert (ROOT / "samples" / "crm_it.csv").read_bytes() == octets
    assert json.loads((ROOT / "samples" / "crm_it.key.json").read_text()) == key


def _own_faults(key: dict[str, Any]) -> dict[int, str]:
    """Return the refusals a line earns by itself: duplicates are the writer's to find."""
    return {int(line): code for line, code in key.items() if code != "customer_number.duplicate"}


def test_every_spoilt_line_of_the_sample_is_refused_for_what_was_spoilt() -> None:
    key = json.loads((ROOT / "samples" / "crm_it.key.json").read_text())
    found = read((ROOT / "samples" / "crm_it.csv").read_bytes(), shipped())
    assert len(found) == key["rows"]
    assert codes(found) == _own_faults(key["refused_lines"])


@pytest.mark.skipif(not EXPORT.exists(), reason="the large export is not shipped")
def test_the_large_export_is_refused_line_by_line_as_its_key_says() -> None:
    key = json.loads(Path(EXPORT.with_name("crm_export.key.json")).read_text())
    found = codes(read(EXPORT.read_bytes(), shipped()))
    counted = {code: list(found.values()).count(code) for code in sorted(set(found.values()))}
    assert counted == {code: count for code, count in key["refused_by_code"].items() if code != "customer_number.duplicate"}
    assert {int(line): code for line, code in key["first_bad_lines"].items()}.items() <= found.items()
