"""A mapping is checked when it is loaded, before a byte of the export is read."""

import re
from typing import Any

import pytest
import yaml

from tests.importing.makers import FIELDS, LAYOUT, mapping, shipped
from vault.errors import InvalidValue
from vault.importing.mapping import check_header, load_mapping
from vault.profiles.catalogue import names_card_secret


def faults(**changes: Any) -> set[tuple[str, str]]:
    with pytest.raises(InvalidValue) as refusal:
        mapping(**changes)
    assert refusal.value.code == "invalid-mapping"
    return {(one.pointer, one.code) for one in refusal.value.faults}


def header_faults(*names: str, **changes: Any) -> set[tuple[str, str]]:
    with pytest.raises(InvalidValue) as refusal:
        check_header(mapping(**changes), names)
    return {(one.pointer, one.code) for one in refusal.value.faults}


HEADER = ("Numero", "Cognome", "Reddito", "IBAN", "Contratto", "Dal", "Consenso", "Quando", "Come")


def test_the_shipped_mapping_names_every_column_of_its_layout() -> None:
    assert len(list(shipped().named())) == 24
    assert shipped().templates == {"retail", "health-insurance", "marketing"}


def test_a_constant_template_is_one_of_the_mappings_templates() -> None:
    layout = mapping(agreement={"template": {"constant": "retail"}, "signed_on": "Dal"}, consents=[])
    assert layout.templates == {"retail"}


CARD_CODES = [
    "cvv", "CVV2", "cvc", "Cvc2", "cid", "PIN", "Codice CVV", "codiceCVV2", "track1", "Track 2 data", "TRACK_DATA", "card-pin",
    "carta_cid", "Security Code", "codice di sicurezza", "Card Verification Code", "/card/cvv",
]  # fmt: skip


@pytest.mark.parametrize("name", CARD_CODES)
def test_a_card_verification_code_is_refused_as_a_field_and_as_a_column(name: str) -> None:
    code = "mapping.card_secret"
    number = LAYOUT["fields"]["customer_number"]
    assert {found for _, found in faults(fields={"customer_number": number, name: "Altro"})} == {code}
    assert faults(fields={"customer_number": number, "support_note": name}) == {("/fields/support_note", code)}
    assert faults(agreement={**LAYOUT["agreement"], "signed_on": name}) == {("/agreement", code)}
    assert faults(consents=[{**LAYOUT["consents"][0], "channel": name}]) == {("/consents/0", code)}
    assert faults(fields={"customer_number": number, "card": {"parts": {"reference": "Rif", "last4": name}}}) == {
        ("/fields/card", code)
    }
    assert {found for _, found in faults(fields={"customer_number": number, "card": {"parts": {name: "Rif"}}})} == {code}


@pytest.mark.parametrize("text", ["a: [", "just words", "- 1", "", "!!python/object:os.system {}"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        load_mapping(text, FIELDS, names_card_secret)
    assert refusal.value.code == "invalid-mapping"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"schema": "riserbo-mapping/2"}, "/schema"),
        ({"file": {"format": "xlsx"}}, "/file/format"),
        ({"file": {"format": "csv", "encoding": "utf-16"}}, "/file/encoding"),
        ({"file": {"format": "csv", "delimiter": ";;"}}, "/file/delimiter"),
        ({"file": {"format": "ndjson", "encoding": "cp1252"}}, "/file"),
        ({"fields": {"customer_number": {"column": "A", "constant": "B"}}}, "/fields/customer_number"),
        ({"fields": {"customer_number": {"parts": {"a": {"parts": {"b": "C"}}}}}}, "/fields/customer_number"),
        ({"consents": [{**LAYOUT["consents"][0], "channels": {"fax": "fax"}}]}, "/consents/0/channels/fax"),
        ({"consents": [{**LAYOUT["consents"][0], "given_on": ""}]}, "/consents/0/given_on"),
        ({"colour": "blue"}, "/colour"),
        ({"agreement": {"template": {"column": "Contratto"}, "signed_on": "Dal"}}, "/agreement"),
        ({"agreement": {"template": {"parts": {"a": "B"}}, "signed_on": "Dal"}}, "/agreement"),
    ],
)
def test_what_is_wrong_is_named_by_pointer_and_code(changes: dict[str, Any], pointer: str) -> None:
    found = faults(**changes)
    assert {one for one, _ in found} == {pointer}
    assert all(re.fullmatch(r"mapping\.[a-z_]+", code) for _, code in found)


def test_unknown_fields_and_a_missing_customer_number_are_told_together() -> None:
    assert faults(fields={"shoe_size": "Piede"}) == {
        ("/fields/shoe_size", "mapping.field_unknown"),
        ("/fields/customer_number", "mapping.missing"),
    }


def test_a_header_must_hold_every_mapped_column_once_and_no_other() -> None:
    check_header(mapping(), HEADER)
    assert header_faults(*HEADER[1:]) == {("/fields/customer_number", "mapping.column_missing")}
    assert header_faults(*HEADER, "IBAN") == {("/fields/iban", "mapping.column_repeated")}
    assert header_faults(*HEADER, "Altro") == {("/columns/10", "mapping.column_unmapped")}
    check_header(mapping(ignored=["Altro"]), (*HEADER, "Altro"))


def test_a_file_without_header_is_refused_without_repeating_its_first_line() -> None:
    with pytest.raises(InvalidValue) as refusal:
        check_header(mapping(), ("C0000001", "Lùvari", "1", "2", "3", "4", "5", "6", "7"))
    assert "Lùvari" not in repr(refusal.value) + str(refusal.value.faults)


def test_errors_of_a_mapping_do_not_repeat_what_stands_in_it() -> None:
    with pytest.raises(InvalidValue) as refusal:
        load_mapping(yaml.safe_dump({**LAYOUT, "file": {"format": "Lùvari"}}), FIELDS, names_card_secret)
    assert "Lùvari" not in repr(refusal.value) + str(refusal.value.faults)
    assert refusal.value.__cause__ is None
