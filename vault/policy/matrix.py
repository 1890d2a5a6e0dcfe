"""The matrix: what policy is to say, written by hand from the table of roles and the law, never from the policies. Pure.

Three kinds of case. *Cells*: a field for a role under a template (`roles.yaml`). *Conditions*: what changes when one thing does
(`conditions.yaml`). *Requests*: one question to one gate, and which policy speaks or keeps silent (`requests.yaml`), for a forbid
is mostly not missed in a table: what it refuses, mostly nobody permits either.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]
Cell = tuple[str, str | None, str]  # level, mask, reason


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
        """Where it stands in the table."""
        return f"{self.template}/{self.context}/{self.field}"

    @property
    def cell(self) -> Cell:
        """What is expected."""
        return self.level, self.mask, self.because


def cells(table: Json) -> Iterator[Case]:
    """Yield every case of the table of roles."""
    for template, covers in table["templates"].items():
        for context, stated in table["contexts"].items():
            for field in table["cells"]:
                yield Case(template, context, field, *_expected(table, covers, context, stated["purpose"], field))


def _expected(table: Json, covers: Json, context: str, purpose: str, field: str) -> Cell:
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


def of_cell(table: Json, context: str, field: str) -> Cell:
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


def _why_withheld(table: Json, context: str, field: str) -> str:
    rules = (one["because"] for one in table["withheld"] if context in one["contexts"] and field in one["fields"])
    return next(rules, "role")
