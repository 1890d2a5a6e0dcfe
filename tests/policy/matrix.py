"""The table of roles as cases: every field for every role under every template, with level, mask and reason.

The expectations are those of `policies/tests/matrix/roles.yaml`, transcribed from the policy chapter. `roles()` is what drives
`Policy.decide` here and the vault over HTTP elsewhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Cell = tuple[str, str | None, str]  # level, mask, reason
MATRIX = Path(__file__).parents[2] / "policies/tests/matrix"


@dataclass(frozen=True)
class Case:
    """One cell: what `context` is to see of `field` when `template` is all that was agreed."""

    template: str
    context: str
    field: str
    level: str
    mask: str | None
    because: str

    @property
    def name(self) -> str:
        return f"{self.template}/{self.context}/{self.field}"


def document(name: str = "roles") -> dict[str, Any]:
    """Return a matrix file, parsed."""
    found: dict[str, Any] = yaml.safe_load((MATRIX / f"{name}.yaml").read_text())
    return found


def roles() -> Iterator[Case]:
    """Yield every case of the table of roles."""
    table = document()
    for template, covers in table["templates"].items():
        for context, stated in table["contexts"].items():
            for field in table["cells"]:
                yield Case(template, context, field, *expected(table, covers, context, stated["purpose"], field))


def expected(table: Mapping[str, Any], covers: Mapping[str, Any], context: str, purpose: str, field: str) -> Cell:
    """Return level, mask and reason: what the template does not cover first, then the cell."""
    if field in covers["no_condition"]:
        return "withheld", None, "special-category"
    if field in covers["excluded"] and purpose != "rights-fulfilment":
        return "withheld", None, "field-excluded"
    if field in covers["not_reached"]:
        return "withheld", None, "no-agreement"
    if purpose not in covers["purposes"]:
        return "withheld", None, "purpose-not-agreed"
    return of_cell(table, context, field)


def of_cell(table: Mapping[str, Any], context: str, field: str) -> Cell:
    """Return what the cell itself says, for an agreement that covers the field."""
    cell = table["cells"][field][table["columns"].index(context)]
    if cell in ("-", "V"):
        return "withheld", None, _why_withheld(table, context, field)
    because = next(reason for reason, fields in table["shown"][context].items() if fields == "all" or field in fields)
    if cell == "C":
        return "clear", None, because
    if cell == "T":
        return "token", None, because
    return "masked", table["weakest"][field] if cell in ("m", "R") else cell, because


def _why_withheld(table: Mapping[str, Any], context: str, field: str) -> str:
    rules = (one["because"] for one in table["withheld"] if context in one["contexts"] and field in one["fields"])
    return next(rules, "role")


def conditions() -> list[dict[str, Any]]:
    """Return what changes when one thing does: the cases of `conditions.yaml`, to be made by `makers.situation`."""
    found: list[dict[str, Any]] = document("conditions")["cases"]
    return found
