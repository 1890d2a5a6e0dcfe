"""One record read as a customer: values normalised, agreement and consents understood; or the one code it is refused with. Pure.

A line with several faults is refused with the first, in this order: the record itself (`line.*`, `columns.count`), the customer
number, then the columns of the file from left to right (of NDJSON: in the mapping's order). That a customer number stands twice
is told last, by the writer, of lines that are valid otherwise: so of several lines the first valid one wins.

Codes are `<type of the field>.<problem>`. Neither a refusal nor an exception holds a value of the file.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from vault.errors import Fault, InvalidValue
from vault.importing.lines import Record, cells, members
from vault.importing.mapping import CUSTOMER_NUMBER, AgreementSource, ConsentSource, FileFormat, Source, check_header
from vault.importing.mapping import Mapping as ImportMapping
from vault.importing.values import Unfit, coded, date_of, text_at, value_at

EARLIEST_YEAR, LATEST_YEAR = 1900, 2999  # of agreements and consents: beyond is a placeholder or a typing error, no distance
Row = Mapping[str, Any]
Normalise = Callable[[str, Any, str, Collection[str]], Any]  # type, value, the controller's region, codes; raises InvalidValue


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What the catalogue says of a field's values: the type, and for type `code` the values it may have."""

    type: str
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line is not taken. `column` is its name in the file; None when the whole record is at fault."""

    line: int
    column: str | None
    code: str

    def __reduce__(self) -> tuple[Any, ...]:
        return Refusal, (self.line, self.column, self.code)


@dataclass(frozen=True, slots=True)
class ClaimedConsent:
    """A consent as the file claims it: nobody here saw it given."""

    template: str
    given_on: date
    channel: str
    claimed_channel: str  # the file's own word, one of the mapping's

    def __reduce__(self) -> tuple[Any, ...]:
        return ClaimedConsent, (self.template, self.given_on, self.channel, self.claimed_channel)


@dataclass(frozen=True, slots=True)
class Customer:
    """A line that is valid in itself. `values` are normalised, by field; only those the line has.

    These classes say how they are pickled, since a process that reads ahead sends thousands: the default takes ten times as long.
    """

    line: int
    values: Mapping[str, Any] = field(repr=False)
    template: str
    signed_on: date
    consents: tuple[ClaimedConsent, ...]
    treatment_ended: date | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Customer, (self.line, self.values, self.template, self.signed_on, self.consents, self.treatment_ended)

    def digest(self) -> bytes:
        """Return SHA-256 of what the line says, wherever it stands and however it was spelled; to be keyed before it is kept."""
        claims = [[one.template, one.given_on, one.channel] for one in self.consents]
        said = [self.values, self.template, self.signed_on, claims]
        said += [self.treatment_ended] if self.treatment_ended is not None else []
        return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


@dataclass(slots=True)
class _Draft:
    """A customer while the columns are read."""

    values: dict[str, Any] = field(default_factory=dict)
    template: str = ""
    signed_on: date = date.min
    consents: list[ClaimedConsent] = field(default_factory=list)
    treatment_ended: date | None = None


@dataclass(frozen=True, slots=True)
class _ReadField:
    field: str
    kind: FieldKind
    source: Source
    normalise: Normalise
    today: date

    @property
    def columns(self) -> tuple[str, ...]:
        return self.source.columns()

    def into(self, draft: _Draft, row: Row, layout: FileFormat) -> None:
        kind = self.kind.type
        found = value_at(row, self.source, kind, layout)
        if found is None:
            if self.field == CUSTOMER_NUMBER:
                raise Unfit(self._column(""), f"{kind}.missing")
            return
        try:
            value = self.normalise(kind, found, layout.region, self.kind.values)
        except InvalidValue as unfit:
            fault = unfit.faults[0]
            raise Unfit(self._column(fault.pointer), fault.code) from None
        if kind == "date_of_birth" and value > self.today.isoformat():
            raise Unfit(self._column(""), f"{kind}.invalid")
        draft.values[self.field] = value

    def _column(self, pointer: str) -> str | None:
        part = (self.source.parts or {}).get(pointer.strip("/"))
        columns = self.columns if part is None else part.columns()
        return columns[0] if columns else None


@dataclass(frozen=True, slots=True)
class _ReadTemplate:
    source: AgreementSource

    @property
    def columns(self) -> tuple[str, ...]:
        return self.source.template.columns()

    def into(self, draft: _Draft, row: Row, _layout: FileFormat) -> None:
        place = self.source.template
        found = place.constant if place.column is None else coded(text_at(row, place.column), place)
        if found is None:
            raise Unfit(place.column, "agreement.unknown_template")
        draft.template = found


@dataclass(frozen=True, slots=True)
class _ReadSignature:
    source: AgreementSource

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.source.signed_on,)

    def into(self, draft: _Draft, row: Row, layout: FileFormat) -> None:
        draft.signed_on = _day(row, self.source.signed_on, layout, "agreement")


@dataclass(frozen=True, slots=True)
class _ReadConsent:
    source: ConsentSource

    @property
    def columns(self) -> tuple[str, ...]:
        return self.source.column, self.source.given_on, self.source.channel

    def into(self, draft: _Draft, row: Row, layout: FileFormat) -> None:
        """Take a consent with its claimed date and channel. Neither age nor distance in time refuses one: its state will tell."""
        word = text_at(row, self.source.column).casefold()
        if not word or word in map(str.casefold, self.source.not_given):
            return
        if word not in map(str.casefold, self.source.given):
            raise Unfit(self.source.column, "consent.invalid")
        given_on = _day(row, self.source.given_on, layout, "consent")
        claimed = text_at(row, self.source.channel).casefold()
        known = next((pair for pair in self.source.channels.items() if pair[0].casefold() == claimed), None)
        if known is None:
            raise Unfit(self.source.channel, "consent.unknown_channel" if claimed else "consent.missing_channel")
        draft.consents.append(ClaimedConsent(self.source.template, given_on, known[1], known[0]))


@dataclass(frozen=True, slots=True)
class _ReadTreatment:
    column: str
    today: date

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def into(self, draft: _Draft, row: Row, layout: FileFormat) -> None:
        """Take the day a treatment ended; an empty cell says nothing of it."""
        if text_at(row, self.column):
            draft.treatment_ended = _day(row, self.column, layout, "treatment")
            if draft.treatment_ended > self.today:
                raise Unfit(self.column, "treatment.invalid_date")


_Step = _ReadField | _ReadTemplate | _ReadSignature | _ReadConsent | _ReadTreatment


class CustomerReader:
    """Reads records by one mapping. Picklable: a process that reads ahead gets a copy."""

    def __init__(
        self,
        mapping: ImportMapping,
        kinds: Mapping[str, FieldKind],
        normalise: Normalise,
        today: date,
        header: Record | None = None,
    ) -> None:
        """Take what the catalogue says of each field, the day of the import and, of a CSV file, the header.

        Raises InvalidValue: the header is unreadable, or is not the mapping's.
        """
        self._layout = mapping.file
        self._header = None if header is None else _header(mapping, header)
        self._named = frozenset({column.split("/")[1] if column.startswith("/") else column for _, column in mapping.named()})
        self._named |= frozenset(mapping.ignored)
        steps: list[_Step] = [_ReadField(name, kinds[name], source, normalise, today) for name, source in mapping.fields.items()]
        steps += [_ReadTemplate(mapping.agreement), _ReadSignature(mapping.agreement)]
        steps += [_ReadConsent(source) for source in mapping.consents]
        steps += [_ReadTreatment(mapping.treatment_ended, today)] if mapping.treatment_ended is not None else []
        self._steps = tuple(sorted(steps, key=self._turn))

    def read(self, record: Record) -> Customer | Refusal:
        """Return what the record says, or why it is refused."""
        draft = _Draft()
        try:
            row = self._row(record)
            for step in self._steps:
                step.into(draft, row, self._layout)
        except Unfit as unfit:
            return Refusal(record.number, unfit.column, unfit.code)
        consents = tuple(draft.consents)
        return Customer(record.number, draft.values, draft.template, draft.signed_on, consents, draft.treatment_ended)

    def read_all(self, records: Iterable[Record]) -> list[Customer | Refusal]:
        """Return what each record says, in order."""
        return [self.read(record) for record in records]

    def _row(self, record: Record) -> Row:
        if self._header is None:
            found = members(record)
            if not isinstance(found, str) and not self._named.issuperset(found):
                found = "columns.unmapped"
        else:
            row = cells(record, self._layout)
            counted = isinstance(row, str) or len(row) == len(self._header)
            found = row if isinstance(row, str) else dict(zip(self._header, row, strict=True)) if counted else "columns.count"
        if isinstance(found, str):
            raise Unfit(None, found)
        return found

    def _turn(self, step: _Step) -> int:
        """Return when a step has its turn: the customer number first, then by its leftmost column; constants last."""
        if isinstance(step, _ReadField) and step.field == CUSTOMER_NUMBER:
            return -1
        if self._header is None:
            return 0
        return min((self._header.index(column) for column in step.columns), default=len(self._header))


def _day(row: Row, column: str, layout: FileFormat, noun: str) -> date:
    text = text_at(row, column)
    day = date_of(text, layout.dates)
    if day is None or not EARLIEST_YEAR <= day.year <= LATEST_YEAR:
        raise Unfit(column, f"{noun}.invalid_date" if text else f"{noun}.missing_date")
    return day


def _header(mapping: ImportMapping, record: Record) -> tuple[str, ...]:
    names = cells(record, mapping.file)
    if isinstance(names, str):
        raise InvalidValue("invalid-mapping", faults=[Fault("/file", names)])
    check_header(mapping, names)
    return names
