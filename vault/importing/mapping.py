"""What an export's columns mean: the mapping file, checked when it is loaded, before a byte of the export is read. Pure.

A mapping names, for each field of the catalogue, where its value stands (a column, several parts, or a constant), which column
tells the agreement and its date, and which columns hold consents with the date and channel the other system claims for them.
Every column of the file is mapped or listed under `ignored`: nothing is dropped unknowingly.

A card's verification code, PIN or track is refused outright, as a field or as a mapped column (PCI DSS 4.0.1, 3.3.1).
"""

from collections.abc import Callable, Collection, Iterator
from datetime import date
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vault.errors import Fault, InvalidValue

CUSTOMER_NUMBER = "customer_number"
Encoding = Literal["utf-8", "cp1252", "iso-8859-1", "iso-8859-15"]  # one byte for each ASCII sign, so lines split as bytes
ClaimedChannel = Literal["phone", "email", "front_office", "portal"]  # those a consent can be evidenced through
DateOrder = Literal["day-month-year", "month-day-year", "year-month-day"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Source(_Part):
    """Where one value stands: in a column, in several (`parts`), or the same for every line (`constant`).

    `codes` turns what the file says into what the catalogue says, whatever the case of letters.
    """

    column: str | None = Field(default=None, min_length=1)
    constant: str | None = Field(default=None, min_length=1)
    parts: "dict[str, Place] | None" = Field(default=None, min_length=1)
    codes: dict[str, str] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.column, self.constant, self.parts)) != 1:
            raise ValueError("one of column, constant, parts")
        if any(part.parts for part in (self.parts or {}).values()):
            raise ValueError("parts have no parts")
        return self

    def columns(self) -> tuple[str, ...]:
        """Return the columns this value is made of, in the order written."""
        if self.parts is not None:
            return tuple(name for part in self.parts.values() for name in part.columns())
        return () if self.column is None else (self.column,)


def _spelled_out(place: object) -> object:
    return {"column": place} if isinstance(place, str) else place


Place = Annotated[Source, BeforeValidator(_spelled_out)]


class FileFormat(_Part):
    """How the file is written."""

    format: Literal["csv", "ndjson"]
    encoding: Encoding = "utf-8"
    delimiter: str = Field(default=",", pattern=r"^[,;|\t]$")
    quote: str = Field(default='"', pattern=r"""^["']$""")
    dates: DateOrder = "year-month-day"
    decimal: Literal["comma", "point"] = "point"
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    region: str = Field(default="IT", pattern=r"^[A-Z]{2}$")
    language: str = Field(default="it", pattern=r"^[a-z]{2}$")

    @model_validator(mode="after")
    def _json_is_utf8(self) -> Self:
        if self.format == "ndjson" and self.encoding != "utf-8":
            raise ValueError("NDJSON is UTF-8")
        return self


class Provenance(_Part):
    """Where the values of a field are from that are not from the customers, by a code, and since when: now, if no day is said."""

    source: str = Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")
    obtained_on: date | None = None


class AgreementSource(_Part):
    """Which agreement a line's customer has, and since when. `template` turns the column's words into template ids by `codes`."""

    template: Place
    signed_on: str = Field(min_length=1)

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.template.constant is None and (self.template.column is None or self.template.codes is None):
            raise ValueError("a constant, or a column with codes")
        return self


class ConsentSource(_Part):
    """One consent the file claims: to which template, given or not, on which day and through which channel."""

    template: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    column: str = Field(min_length=1)
    given: tuple[str, ...] = Field(min_length=1)
    not_given: tuple[str, ...] = ()
    given_on: str = Field(min_length=1)
    channel: str = Field(min_length=1)
    channels: dict[str, ClaimedChannel] = Field(min_length=1)


class Mapping(_Part):
    """The whole mapping."""

    mapping_schema: Literal["riserbo-mapping/1"] = Field(alias="schema")
    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    file: FileFormat
    fields: dict[str, Place]
    agreement: AgreementSource
    consents: tuple[ConsentSource, ...] = ()
    ignored: tuple[str, ...] = ()
    sources: dict[str, Provenance] = Field(default_factory=dict)  # by field
    treatment_ended: str | None = Field(default=None, min_length=1)  # the column that says on which day that of a cancer ended

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield each mapped column with the pointer of the line that maps it."""
        for field, source in self.fields.items():
            for column in source.columns():
                yield f"/fields/{field}", column
        for column in (*self.agreement.template.columns(), self.agreement.signed_on):
            yield "/agreement", column
        for number, consent in enumerate(self.consents):
            for column in (consent.column, consent.given_on, consent.channel):
                yield f"/consents/{number}", column
        if self.treatment_ended is not None:
            yield "/treatment_ended", self.treatment_ended

    @property
    def templates(self) -> frozenset[str]:
        """The ids of all templates an import with this mapping may make agreements from."""
        source = self.agreement.template
        main = {source.constant} if source.constant is not None else set((source.codes or {}).values())
        return frozenset({name for name in main if name} | {consent.template for consent in self.consents})


def load_mapping(text: str | bytes, fields: Collection[str], names_card_secret: Callable[[str], bool]) -> Mapping:
    """Return the mapping this YAML document holds; `fields` are the catalogue's names, and it knows which names no field may have.

    Raises InvalidValue `invalid-mapping` with a pointer and a code for each thing wrong.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise _unfit(Fault("", "mapping.syntax")) from None
    try:
        mapping = Mapping.model_validate(document)
    except ValidationError as error:
        raise _unfit(*(Fault(_pointer(one["loc"]), f"mapping.{one['type']}") for one in error.errors())) from None
    if card_secrets := [Fault(pointer, "mapping.card_secret") for pointer, name in _names(mapping) if names_card_secret(name)]:
        raise _unfit(*card_secrets)
    unknown = [Fault(f"/fields/{field}", "mapping.field_unknown") for field in mapping.fields if field not in fields]
    number = mapping.fields.get(CUSTOMER_NUMBER)
    missing = [] if number is not None and number.column else [Fault(f"/fields/{CUSTOMER_NUMBER}", "mapping.missing")]
    if unknown or missing:
        raise _unfit(*unknown, *missing)
    return mapping


def check_header(mapping: Mapping, header: tuple[str, ...]) -> None:
    """Compare a CSV file's header with the mapping.

    Raises InvalidValue `invalid-mapping`: a mapped column is missing or stands twice, or a column is neither mapped nor ignored.
    A file that lacks a mapped column may have no header at all, so only the mapping's own words are repeated.
    """
    missing = [Fault(pointer, "mapping.column_missing") for pointer, column in mapping.named() if column not in header]
    if missing:
        raise _unfit(*missing)
    repeated = [Fault(pointer, "mapping.column_repeated") for pointer, column in mapping.named() if header.count(column) > 1]
    if repeated:
        raise _unfit(*repeated)
    known = {column for _, column in mapping.named()} | set(mapping.ignored)
    unnamed = [Fault(f"/columns/{number}", "mapping.column_unmapped") for number, name in enumerate(header, 1) if name not in known]
    if unnamed:
        raise _unfit(*unnamed)


def _names(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Yield every name a value is kept under or taken from, with its pointer."""
    for field, source in mapping.fields.items():
        for name in (field, *(source.parts or ())):
            yield f"/fields/{field}", name
    yield from mapping.named()


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{part}" for part in location)


def _unfit(*faults: Fault) -> InvalidValue:
    return InvalidValue("invalid-mapping", faults=faults)
