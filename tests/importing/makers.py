"""Mappings, readers and records for the tests of importing; the real catalogue, the real normalisers."""

import io
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from vault.importing.lines import Record, records
from vault.importing.mapping import Mapping, load_mapping
from vault.importing.reading import Customer, CustomerReader, FieldKind, Refusal
from vault.profiles.catalogue import names_card_secret
from vault.profiles.normalise import normalise

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 22)
_CATALOGUE = yaml.safe_load((ROOT / "policies" / "catalogue.yaml").read_text())["fields"]
FIELDS = frozenset(_CATALOGUE)
KINDS = {name: FieldKind(one["type"], frozenset(one.get("values", ()))) for name, one in _CATALOGUE.items()}

LAYOUT: dict[str, Any] = {
    "schema": "riserbo-mapping/1",
    "id": "short",
    "file": {"format": "csv", "delimiter": ";", "dates": "day-month-year", "decimal": "comma"},
    "fields": {"customer_number": "Numero", "family_name": "Cognome", "annual_income": "Reddito", "iban": "IBAN"},
    "agreement": {"template": {"column": "Contratto", "codes": {"base": "retail"}}, "signed_on": "Dal"},
    "consents": [
        {
            "template": "marketing",
            "column": "Consenso",
            "given": ["S"],
            "not_given": ["N"],
            "given_on": "Quando",
            "channel": "Come",
            "channels": {"telefono": "phone", "web": "portal"},
        }
    ],
}
HEADER = "Numero;Cognome;Reddito;IBAN;Contratto;Dal;Consenso;Quando;Come"
GOOD = "C-1;Lùvari;38.000,5;IT60X0542811101000000123456;base;01/02/2020;S;03/04/2025;Telefono"


def mapping(**changes: Any) -> Mapping:
    """Return the short layout, with whole sections replaced."""
    return load_mapping(yaml.safe_dump({**LAYOUT, **changes}), FIELDS, names_card_secret)


def shipped() -> Mapping:
    """Return the mapping that is shipped for the Italian CRM."""
    return load_mapping((ROOT / "samples" / "crm_it.mapping.yaml").read_bytes(), FIELDS, names_card_secret)


def read(octets: bytes | str, layout: Mapping | None = None) -> list[Customer | Refusal]:
    """Read a whole file with its header."""
    layout = layout or mapping()
    file = io.BytesIO(octets.encode() if isinstance(octets, str) else octets)
    found = records(file, layout.file)
    header = next(found) if layout.file.format == "csv" else None
    return CustomerReader(layout, KINDS, normalise, TODAY, header).read_all(found)


def split(octets: bytes, **layout: Any) -> list[Record]:
    """Return the records of a file."""
    return list(records(io.BytesIO(octets), mapping(file={**LAYOUT["file"], **layout}).file))


def codes(read_lines: Sequence[Customer | Refusal]) -> dict[int, str]:
    """Return the refused lines with their codes."""
    return {one.line: one.code for one in read_lines if isinstance(one, Refusal)}
