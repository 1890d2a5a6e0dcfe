"""The normalisers over an Italian CRM export with known faults. The file is not in the repository: without it, nothing runs."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from vault.errors import InvalidValue
from vault.profiles.catalogue import Catalogue
from vault.profiles.normalise import normalise

ROOT = Path(__file__).parents[2]
EXPORT = ROOT.parent / "shared" / "data" / "crm_export.csv"
JUDGED = {"codice_fiscale.checksum", "email.syntax", "iban.checksum", "phone.invalid", "date_of_birth.invalid"}
COLUMNS = {
    "Cognome": "family_name",
    "Nome": "given_name",
    "Data di nascita": "date_of_birth",
    "Comune di nascita": "birth_place",
    "Codice Fiscale": "tax_code",
    "E-mail": "email",
    "Cellulare": "mobile",
    "Telefono fisso": "phone",
    "IBAN": "iban",
    "Intestatario conto": "account_holder",
    "Numero polizza": "policy_number",
    "Reddito annuo": "annual_income",
    "Note operatore": "support_note",
}

pytestmark = pytest.mark.skipif(not EXPORT.exists(), reason="the export is not beside the repository")


@pytest.fixture(scope="module")
def refused() -> dict[int, str]:
    """Return line → code of the first column refused, whatever else a line lacks; lines of another width are left out."""
    fields = Catalogue.of(yaml.safe_load((ROOT / "policies" / "catalogue.yaml").read_text(encoding="utf-8"))).fields
    found: dict[int, str] = {}
    with EXPORT.open(encoding="cp1252", newline="") as file:
        header, *rows = csv.reader(file, delimiter=";")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            continue
        record = dict(zip(header, row, strict=True))
        values: dict[str, object] = {name: spelt(name, record[column]) for column, name in COLUMNS.items() if record[column]}
        address = {"street": "Indirizzo", "postal_code": "CAP", "city": "Comune", "province": "Provincia"}
        values["address"] = {member: record[column] for member, column in address.items()}
        for name, value in values.items():
            try:
                normalise(fields[name].type, value)
            except InvalidValue as refusal:
                found.setdefault(line, refusal.faults[0].code)
    return found


def spelt(name: str, text: str) -> str:
    if name == "date_of_birth":
        return "-".join(reversed(text.split("/")))
    return text.replace(".", "").replace(",", ".") if name == "annual_income" else text


def test_exactly_the_known_faults_are_found(refused):
    key = json.loads(EXPORT.with_suffix(".key.json").read_text(encoding="utf-8"))
    assert Counter(refused.values()) == {code: count for code, count in key["refused_by_code"].items() if code in JUDGED}


def test_they_are_found_on_the_known_lines(refused):
    key = json.loads(EXPORT.with_suffix(".key.json").read_text(encoding="utf-8"))
    known = {int(line): code for line, code in key["first_bad_lines"].items() if code in JUDGED}
    last = max(map(int, key["first_bad_lines"]))
    assert {line: code for line, code in refused.items() if line <= last} == known
