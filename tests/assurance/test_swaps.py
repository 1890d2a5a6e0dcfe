"""Whatever the database's owner swaps, no value is shown: every pair of sealed values, keys, wraps and rows is tried.

Two controllers, two epochs, three people, one of them with a class in its second generation. Each pair is swapped by SQL, everybody
it touches is read, and it is swapped back; afterwards everything opens again, so it was the swap that was refused.

Not tried, because it is not promised: an old frame put back together with its old key row, which is genuine; the nightly scrub
compares it with the last audited write.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import combinations

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.assurance.desk import Desk, register_identities
from tests.assurance.sealed import FIELDS, Cell, Person, Row, Unit, World, begin_epoch, enrolled, refuses, reseal, unwrapped
from tests.conftest import Controllers
from vault.connectors.demo_issuer import DemoIssuer
from vault.errors import Unreadable
from vault.keys import frame
from vault.keys.controller_keys import PURPOSES
from vault.keys.data_keys import open_bytes, unwrap_audit_key
from vault.opening import Opened
from vault.operations.enrolment import evidence_place

KEY = ("controller_id", "subject_id", "class", "generation")
GENERATIONS = ("vault.profile_frame", "keys.data_key", "keys.data_key_wrap")
WRAP = (*KEY, "holder_kind", "holder_id", "epoch")


@pytest.fixture(scope="module")
def world(
    opened: Opened, issuer: DemoIssuer, client: TestClient, shared_controllers: Controllers, database_url: str
) -> Iterator[World]:
    desks = [Desk(client, issuer, opened, shared_controllers()) for _ in range(2)]
    for desk in desks:
        register_identities(opened.vault, desk.controller_id)
    with psycopg.connect(database_url, autocommit=True) as sql:
        sql.execute("SET session_replication_role = replica")  # no trigger stops a superuser
        ada = enrolled(sql, desks[0], ("retail", "marketing"), email="ada@example.it", given_name="Adalgisa",
                       iban="IT60X0542811101000000123456", tax_code="RSSMRA85T10A562S")  # fmt: skip
        eve = enrolled(sql, desks[1], ("retail",), email="eve@example.it", given_name="Evelina",
                       iban="IT68D0300203280000400162854", tax_code="RSSMRA80A01H501U")  # fmt: skip
        for desk in desks:
            begin_epoch(desk, sql, 2)
        bea = enrolled(sql, desks[0], ("retail",), email="bea@example.it", given_name="Beatrice",
                       iban="DE89370400440532013000", tax_code="BNCGLI80B69F205B")  # fmt: skip
        reseal(sql, bea, "contact")
        yield World(sql, (ada, bea, eve))


@pytest.fixture(autouse=True)
def it_was_the_swap(world: World) -> Iterator[None]:
    """Everybody can be read before a test and after it."""
    assert all(world.answers(person) for person in world.people)
    yield
    assert all(world.answers(person) for person in world.people)


# --- values


def cells(world: World) -> list[Cell]:
    """Return every sealed value: four of each person, and what was corrected."""
    current = [
        Cell(unit, entry, True) for unit, held in world.sealed.items() for entry in frame.read(held.frame).unpacked().values()
    ]
    history = [
        Cell(
            Unit(row["controller_id"], row["subject_id"], row["class"]),
            frame.FrameEntry(row["field"], row["value_version"], row["agreement_id"], row["envelope"]),
            False,
        )
        for row in world.rows("vault.field_history")
    ]
    return [*current, *history]


def with_each_other(world: World, one: Cell, other: Cell, *, whole: bool) -> dict[Unit, bytes]:
    """Return the frames after two values changed places; `whole`: with the version and the agreement each is bound to."""
    entries: dict[Unit, dict[str, frame.FrameEntry]] = {}
    for cell, new in ((one, other.entry), (other, one.entry)):
        if cell.current:
            held = entries.setdefault(cell.unit, frame.read(world.sealed[cell.unit].frame).unpacked())
            name = cell.entry.field
            held[name] = new._replace(field=name) if whole else cell.entry._replace(envelope=new.envelope)
    return {unit: frame.encode(held.values()) for unit, held in entries.items()}


def pairs(world: World) -> list[tuple[Cell, Cell]]:
    everything = cells(world)
    assert len(everything) == 3 * 4 + 3
    found = [(one, other) for one, other in combinations(everything, 2) if one.current or other.current]
    assert len(found) == 15 * 14 // 2 - 3  # but for two of the history: nothing reads it
    return found


@pytest.mark.parametrize("whole", [False, True], ids=["envelope", "whole"])
def test_no_two_values_change_places(world: World, whole: bool) -> None:
    for one, other in pairs(world):
        frames = with_each_other(world, one, other, whole=whole)
        with world.changed(frames):
            for unit in frames:
                assert not world.opens(world.owner(unit), unit.class_name), (one, other)


@pytest.mark.parametrize("whole", [False, True], ids=["envelope", "whole"])
def test_no_two_values_change_places_though_the_manifest_fits(world: World, whole: bool) -> None:
    """The place of each value is authenticated by itself, so a forged manifest would not be enough."""
    for one, other in pairs(world):
        if whole and (one.unit, one.entry.field) == (other.unit, other.entry.field):
            continue  # a person's own earlier value: true once, and only the manifest can tell that it is not any more
        for unit, packed in with_each_other(world, one, other, whole=whole).items():
            assert world.opens_with(unit, world.sealed[unit].frame)
            assert not world.opens_with(unit, packed), (one, other)


def test_no_value_is_given_another_name_version_or_agreement(world: World) -> None:
    agreements = [agreement_id for person in world.people for agreement_id in person.agreements.values()]
    for cell in cells(world)[:12]:
        entry, unit = cell.entry, cell.unit
        entries = frame.read(world.sealed[unit].frame).unpacked()
        changes = [
            entry._replace(field={"contact": "phone", "financial": "balance"}[unit.class_name]),
            entry._replace(value_version=entry.value_version - 1),
            entry._replace(value_version=entry.value_version + 1),
            *(entry._replace(agreement_id=one) for one in agreements if one != entry.agreement_id),
        ]
        for changed in changes:
            packed = frame.encode([*(one for name, one in entries.items() if name != entry.field), changed])
            assert not world.opens_with(unit, packed), changed
            with world.changed({unit: packed}):
                assert not world.opens(world.owner(unit), unit.class_name), changed


def test_no_value_disappears_from_a_frame_unseen(world: World) -> None:
    """Not even for one who asks for nothing else in it."""
    for cell in cells(world)[:12]:
        entries = frame.read(world.sealed[cell.unit].frame).unpacked()
        person, name = world.owner(cell.unit), cell.entry.field
        with world.changed({cell.unit: frame.encode([one for field, one in entries.items() if field != name])}):
            answer = person.desk.profile("customer", person.subject_id, name)
            assert (answer.status_code, answer.json()["type"]) == (500, "https://riserbo.dev/problems/unreadable")


# --- frames, keys and wraps


@pytest.mark.parametrize(
    "taken",
    [(), ("manifest",), ("manifest", "commit"), ("manifest", "commit", "wraps")],
    ids=["frame", "manifest", "key", "everything"],
)
def test_no_two_classes_change_places(world: World, taken: Sequence[str]) -> None:
    """Of another class, person, controller or generation, with as much of what belongs to it as one likes."""
    assert len(world.units) == 6
    keys = {unit: current_key(world, unit) for unit in world.units}
    for one, other in combinations(world.units, 2):
        swapped = {one: world.sealed[other].frame, other: world.sealed[one].frame}
        wraps = [wrap_of(world, keys[unit]) for unit in (one, other)]
        with ExitStack() as stack:
            stack.enter_context(world.changed(swapped))
            if columns := [name for name in taken if name != "wraps"]:
                stack.enter_context(world.exchanged("keys.data_key", KEY, keys[one], keys[other], *columns))
            if "wraps" in taken:
                stack.enter_context(world.exchanged("keys.data_key_wrap", WRAP, wraps[0], wraps[1], "wrap"))
            for unit in (one, other):
                assert not world.answers(world.owner(unit), unit.class_name), (one, other)


def current_key(world: World, unit: Unit) -> Row:
    """Return the row of a class's data key."""
    (row,) = world.rows("keys.data_key", "subject_id = %s AND class = %s AND state = 'current'", *unit[1:])
    return row


def wrap_of(world: World, key: Row) -> Row:
    """Return the wrap of a data key that its person's contract holds."""
    retail = world.owner(key).agreements["retail@1"]
    where = "subject_id = %s AND class = %s AND generation = %s AND holder_id = %s"
    return world.rows("keys.data_key_wrap", where, key["subject_id"], key["class"], key["generation"], retail)[0]


@pytest.mark.parametrize("column", ["commit", "manifest"])
def test_no_two_data_keys_change_commitment_or_manifest(world: World, column: str) -> None:
    rows = world.rows("keys.data_key")
    assert len(rows) == 7  # two classes of three people, and one retired generation
    for one, other in combinations(rows, 2):
        with world.exchanged("keys.data_key", KEY, one, other, column):
            for row in (one, other):
                if row["state"] == "current":
                    assert not world.opens(world.owner(row), row["class"]), (one, other)


@pytest.mark.parametrize("columns", [("wrap",), ("wrap", "epoch")], ids="+".join)
def test_no_two_wraps_change_places(world: World, columns: Sequence[str]) -> None:
    """Between holders, classes, generations, epochs, people and controllers; read through the very holder, policy saying yes."""
    rows = world.rows("keys.data_key_wrap")
    assert len(rows) == 5 + 4 + 4 + 2
    assert {row["epoch"] for row in rows} == {1, 2}
    for one, other in combinations(rows, 2):
        if "epoch" in columns and one["epoch"] == other["epoch"]:
            continue
        with world.exchanged("keys.data_key_wrap", WRAP, one, other, *columns):
            for row, place in ((one, other), (other, one)):
                assert refuses(partial(unwrapped, world.vault, {**place, **{name: row[name] for name in columns}}))
            for row in (one, other):
                if is_current(world, row):
                    assert not world.opens(world.owner(row), row["class"], through=row["holder_id"]), (one, other)


def is_current(world: World, row: Row) -> bool:
    """Return whether a wrap is of the generation that is read."""
    return row["generation"] == (2 if (row["subject_id"], row["class"]) == (world.people[1].subject_id, "contact") else 1)


def test_every_wrap_opens_through_its_own_holder(world: World) -> None:
    """What the swaps are compared with: each wrap in its place does open, and a hold's for no verb."""
    for row in world.rows("keys.data_key_wrap"):
        assert len(unwrapped(world.vault, row)) == 32
        if is_current(world, row):
            opens = world.opens(world.owner(row), row["class"], through=row["holder_id"])
            assert opens is (row["holder_kind"] == "agreement")


def test_a_wrap_copied_to_an_agreement_that_was_never_granted_opens_nothing(world: World) -> None:
    """The consent to marketing reaches no financial data, and rows in the database do not change that."""
    ada = world.people[0]
    retail, marketing = ada.agreements["retail@1"], ada.agreements["marketing@1"]
    copied = [(row["class"], row["holder_id"], row["epoch"], row["wrap"]) for row in world.rows("keys.data_key_wrap")]
    assert not world.opens(ada, "financial", through=marketing)
    for class_name, holder_id, epoch, wrap in copied:
        world.sql.execute(
            "INSERT INTO keys.data_key_wrap VALUES (%s, %s, 'financial', 1, 'agreement', %s, %s, %s)",
            (*ada.unit("financial")[:2], marketing, epoch, wrap),
        )
        assert not world.opens(ada, "financial", through=marketing), (class_name, holder_id)
        world.sql.execute("DELETE FROM keys.data_key_wrap WHERE class = 'financial' AND holder_id = %s", (marketing,))
    assert world.opens(ada, "financial", through=retail)


@pytest.mark.parametrize("column", ["generation", "holder_kind", "epoch"])
def test_no_wrap_is_given_another_generation_kind_or_epoch(world: World, column: str) -> None:
    other = {"generation": 9, "holder_kind": "hold", "epoch": 2}
    usual = {
        "generation": 1,
        "holder_kind": "agreement",
        "epoch": 1,
    }  # a companion's is a hold: made an agreement's, it opens nothing
    for row in world.rows("keys.data_key_wrap"):
        value = usual[column] if row[column] == other[column] else other[column]
        place = {name: row[name] for name in WRAP}
        world.put("keys.data_key_wrap", place, **{column: value})
        if is_current(world, row):
            assert not world.opens(world.owner(row), row["class"], through=row["holder_id"])
        assert refuses(partial(unwrapped, world.vault, {**row, column: value}))
        world.put("keys.data_key_wrap", {**place, column: value}, **{column: row[column]})


def test_no_class_is_given_another_generation(world: World) -> None:
    """Not the frame's column, not the key's, not both with the wraps: the envelopes and the scope name it too."""
    for unit in world.units:
        person = world.owner(unit)
        mine = "controller_id = %s AND subject_id = %s AND class = %s"
        real = 2 if (person, unit.class_name) == (world.people[1], "contact") else 1
        for tables in (("vault.profile_frame",), ("keys.data_key",), GENERATIONS):
            for table in tables:
                world.sql.execute(f"UPDATE {table} SET generation = 7 WHERE {mine} AND generation = %s".encode(), (*unit, real))
            answer = person.desk.profile("customer", unit.subject_id, *FIELDS[unit.class_name])
            states = [one["state"] for one in answer.json()["fields"].values()] if answer.status_code == 200 else []
            # Two rows of one key that name different generations are read as no row at all: there is nothing to show.
            assert answer.status_code == 500 or set(states) == {"absent"}, (unit, tables)
            assert len(tables) < 3 or answer.status_code == 500
            for table in tables:
                world.sql.execute(f"UPDATE {table} SET generation = %s WHERE {mine} AND generation = 7".encode(), (real, *unit))


def test_a_frame_of_the_generation_before_is_not_read(world: World) -> None:
    """A rotation leaves the old key behind for a while: it is not let in under the new one's name."""
    bea = world.people[1]
    retired, current = world.rows("keys.data_key", "subject_id = %s AND class = 'contact'", bea.subject_id)
    assert (retired["generation"], current["generation"]) == (1, 2)
    for columns in (("commit",), ("manifest",), ("commit", "manifest")):
        with world.exchanged("keys.data_key", KEY, retired, current, *columns):
            assert not world.opens(bea, "contact")
    wraps = [wrap_of(world, key) for key in (retired, current)]
    assert [wrap["generation"] for wrap in wraps] == [1, 2]
    with (
        world.exchanged("keys.data_key", KEY, retired, current, "commit", "manifest"),
        world.exchanged("keys.data_key_wrap", WRAP, wraps[0], wraps[1], "wrap"),
    ):
        assert not world.opens(bea, "contact")


# --- keys above them


def test_no_two_audit_keys_change_places(world: World) -> None:
    """Without the person's own audit key there is no entry in their chain, and without that nothing opens."""
    rows = world.rows("keys.subject_audit_key")
    assert len(rows) == 3
    for one, other in combinations(rows, 2):
        columns = ("wrap",) if one["epoch"] == other["epoch"] else ("wrap", "epoch")
        with world.exchanged("keys.subject_audit_key", ("controller_id", "subject_id", "epoch"), one, other, *columns):
            for row in (one, other):
                assert not world.opens(world.owner(row))


@pytest.mark.parametrize("columns", [("blob",), ("commit",), ("blob", "commit")], ids="+".join)
def test_no_two_controller_keys_change_places(world: World, columns: Sequence[str]) -> None:
    rows = world.rows("keys.controller_key")
    assert len(rows) == 4
    for one, other in combinations(rows, 2):
        with world.exchanged("keys.controller_key", ("controller_id", "epoch"), one, other, *columns):
            for row in (one, other):
                assert refuses(partial(world.vault.keys.key, row["controller_id"], row["epoch"]))
                for person in world.people:
                    if person.desk.controller_id == row["controller_id"] and uses(world, person, row["epoch"]):
                        assert not world.opens(person), (one, other)


def uses(world: World, person: Person, epoch: int) -> bool:
    """Return whether all of a person's wraps are of an epoch."""
    return {row["epoch"] for row in world.rows("keys.data_key_wrap", "subject_id = %s", person.subject_id)} == {epoch}


def test_no_two_secrets_change_places(world: World) -> None:
    rows = world.rows("keys.controller_secret")
    assert len(rows) == 2 * len(PURPOSES)
    for one, other in combinations(rows, 2):
        with world.exchanged("keys.controller_secret", ("controller_id", "purpose", "version"), one, other, "wrap"):
            for row in (one, other):
                assert refuses(partial(world.vault.keys.secret, row["controller_id"], row["purpose"]))
                if row["purpose"] == "audit":
                    theirs = [person for person in world.people if person.desk.controller_id == row["controller_id"]]
                    assert not any(world.opens(person) for person in theirs)


# --- what is sealed beside the values


def test_no_two_proofs_of_an_agreement_change_places(world: World) -> None:
    rows = world.rows("vault.agreement_event")
    assert len(rows) == 3 + 2 + 2
    for row in rows:
        assert b"indicated_at" in evidence(world, row, row["evidence"])
    for one, other in combinations(rows, 2):
        for place, sealed in ((one, other["evidence"]), (other, one["evidence"])):
            with pytest.raises(Unreadable):
                evidence(world, place, sealed)


def evidence(world: World, row: Row, sealed: bytes) -> bytes:
    """Open what is sealed as if it were this event's."""
    (key,) = world.rows("keys.subject_audit_key", "subject_id = %s", row["subject_id"])
    audit_key = unwrap_audit_key(world.vault.keys, row["controller_id"], row["subject_id"], key["epoch"], key["wrap"])
    place = evidence_place(row["controller_id"], row["subject_id"], row["agreement_id"], row["number"])
    return open_bytes(audit_key, place, sealed)


def test_no_two_details_of_entries_change_places(world: World) -> None:
    for desk in {person.desk.controller_id: person.desk for person in world.people}.values():
        desk.entries()
    rows = world.rows("vault.audit_detail", "sealed IS NOT NULL ORDER BY position LIMIT 12")
    for one, other in combinations(rows, 2):
        with world.exchanged("vault.audit_detail", ("controller_id", "at", "position", "subject_id"), one, other, "sealed"):
            for row in (one, other):
                desk = next(person.desk for person in world.people if person.desk.controller_id == row["controller_id"])
                with pytest.raises(Unreadable):
                    desk.entry(row["entry_id"])
