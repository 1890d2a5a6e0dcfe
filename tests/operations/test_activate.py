"""A bundle comes into force by two people, in its turn, tried, planned, on record first; every other way is refused, on record."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import Controllers
from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from tests.policy.deciders import KNOWN, SINCE, digest_of, follows, note_of, renamed
from tests.policy.makers import altered, bundle, relock, shipped_text
from vault.assembly import Vault
from vault.errors import (
    AuditUnavailable,
    Conflict,
    DatabaseUnavailable,
    InvalidValue,
    NotFound,
    PolicyUnavailable,
    Unreadable,
    VaultError,
)
from vault.opening import Opened
from vault.operations.activate import Activated, activate, begin, failing_cases, history, roll_back
from vault.operations.bundle_of import bundle_of
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.explain import explain
from vault.operations.in_force import in_force
from vault.policy.activation import Activation
from vault.policy.bundle import Bundle, shipped
from vault.policy.files import read_files

SHIPPED = bundle().digest
ATTACKER = "SET session_replication_role = replica"  # the owner of the database, past every trigger


def untried(_: Bundle) -> tuple[str, ...]:
    """Stand for a bundle whose cases come out: trying one takes seconds, and `test_a_bundle_is_tried` does."""
    return ()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose policies are the shipped ones, so that its plan is quick."""
    text = shipped_text("limits.yaml").replace("hide_after_s: 60", "hide_after_s: 50")
    return altered(tmp_path_factory.mktemp("other"), {"limits.yaml": text})


@pytest.fixture(scope="module", autouse=True)
def beside(opened: Opened, shared_controllers: Controllers, other: Path) -> None:
    """Have somebody else decide by it all the while: this process holds its rules then, and no test waits for building them."""
    name = shared_controllers()
    note = follows(name, digest_of(other), SHIPPED)
    activate(opened.vault, name, note, read_files(other), KNOWN, opened.trail.settle, untried)
    until_in_force(opened, name, digest_of(other))


@pytest.fixture
def brought(opened: Opened, controller_id: str) -> Callable[..., Activated]:
    """Bring a directory's bundle into force, as the note says."""

    def bring(directory: Path, note: str, trial: Callable[[Bundle], Any] = untried) -> Activated:
        return activate(opened.vault, controller_id, note, read_files(directory), KNOWN, opened.trail.settle, trial)

    return bring


def refused(act: Callable[[], object]) -> list[tuple[str, str]]:
    """Return what stands against an activation."""
    with pytest.raises(VaultError) as refusal:
        act()
    assert refusal.value.entry_id is not None
    return [(one.pointer, one.code) for one in refusal.value.faults]


# --- how it comes into force -----------------------------------------------------------------------------------------------------


def test_a_controller_begins_with_the_bundle_at_hand(opened: Opened, controller_id: str, ledger: Ledger) -> None:
    opened.trail.settle(controller_id)
    row = in_force(opened.vault.database, opened.vault.keys, controller_id)
    assert (row.sequence, row.digest, row.previous, row.note) == (1, SHIPPED, None, None)
    [leaf] = ledger.leaves("policy:activated")
    assert (leaf["id"], leaf["about"]) == (row.entry_id, {"sequence": 1, "digest": SHIPPED, "previous": "-", "note": "-"})
    with pytest.raises(Conflict):
        begin(opened.vault, controller_id, bundle())


def test_two_people_bring_the_next_bundle_into_force(
    opened: Opened, controller_id: str, ledger: Ledger, brought: Callable[..., Activated], other: Path
) -> None:
    digest = digest_of(other)
    note = follows(controller_id, digest, SHIPPED)
    done = brought(other, note)
    assert (done.row.sequence, done.row.digest, done.row.previous, done.repaired) == (2, digest, SHIPPED, False)
    assert in_force(opened.vault.database, opened.vault.keys, controller_id) == done.row
    leaf = ledger.leaves("policy:activated")[-1]
    said = {"sequence": 2, "digest": digest, "previous": SHIPPED, "note": sha256(note.encode()).hexdigest()}
    assert (leaf["id"], leaf["about"], leaf["outcome"]) == (done.row.entry_id, said, "done")
    assert " ada" not in str(leaf)  # as details name who signed: group and person
    opened.standing.look()
    assert refused(partial(brought, other, note)) == [("note", "note.other-sequence"), ("note", "note.other-previous")]


def test_a_rollback_is_a_new_sequence_with_an_old_digest(
    opened: Opened, controller_id: str, brought: Callable[..., Activated], other: Path
) -> None:
    digest, vault, settle = digest_of(other), opened.vault, opened.trail.settle
    brought(other, follows(controller_id, digest, SHIPPED))
    back = follows(controller_id, SHIPPED, digest, 3)
    alone = follows(controller_id, SHIPPED, digest, 3, ("ada",))
    assert refused(lambda: roll_back(vault, controller_id, alone, KNOWN, settle)) == [("note", "note.unsigned-by-dpo")]
    assert roll_back(vault, controller_id, back, KNOWN, settle).row.digest == SHIPPED
    assert [one.digest for one in history(vault.database, vault.keys, controller_id)] == [SHIPPED, digest, SHIPPED]
    never = follows(controller_id, "sha256:" + "0" * 64, SHIPPED, 4)
    with pytest.raises(NotFound) as refusal:
        roll_back(vault, controller_id, never, KNOWN, settle)
    assert refusal.value.code == "bundle-not-kept"
    assert refused(lambda: roll_back(vault, controller_id, "no note", KNOWN, settle)) == [("note", "note.unfit")]


def test_each_decision_is_explained_by_the_bundle_of_its_day(
    opened: Opened, vault: Vault, controller_id: str, brought: Callable[..., Activated], tmp_path: Path, ledger: Ledger
) -> None:
    other = renamed(tmp_path)
    register(vault, controller_id, "t1")
    person = make_subject(vault, controller_id, {"given_name": "Ada", "email": "ada@example.it"}).subject_id
    desk = make_context(controller_id, "t1", ticket=make_ticket(vault, controller_id, person, "t1"))
    before = disclose(vault.governed(controller_id), Ask(desk, person, ("email",)))
    brought(other, follows(controller_id, digest_of(other), SHIPPED))
    until_in_force(opened, controller_id, digest_of(other))
    now = vault.governed(controller_id)
    after = disclose(now, Ask(desk, person, ("email",)))
    assert [one.fields["email"].because for one in (before, after)] == ["support-t1-contact", "support-t2-contact"]
    assert [one.policy for one in (before, after)] == [SHIPPED, digest_of(other)]
    officer = make_context(controller_id, "dpo")
    register(vault, controller_id, "dpo")
    for one in (before, after):
        told = explain(now, officer, one.decision_id).document
        assert (told["policy"], told["fields"]["email"]["because"]) == (one.policy, one.fields["email"].because)
    ledger.owner(f"{ATTACKER}; UPDATE vault.policy_bundle SET archive = '\\x00' WHERE controller_id = '{controller_id}'")
    with pytest.raises(Unreadable) as refusal:
        bundle_of(now, controller_id, SHIPPED)
    assert refusal.value.code == "bundle-altered"


def until_in_force(opened: Opened, controller_id: str, digest: str) -> None:
    """Wait until this process decides by a bundle."""
    while opened.standing.state(controller_id)[1].rpartition(" ")[2] != digest:
        opened.standing.look()


# --- how it does not -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ((), [("note", "note.unfit")]),
        (("ada",), [("note", "note.unsigned-by-dpo")]),
        (("cora",), [("note", "note.unsigned-by-policy")]),
        (("ada", "bea"), [("note", "note.unsigned-by-dpo")]),
        (("cora", "dora"), [("note", "note.unsigned-by-policy")]),
    ],
    ids=["unsigned", "policy alone", "officer alone", "twice policy", "twice officer"],
)
def test_without_one_of_each_group_nothing_comes_into_force(
    opened: Opened, controller_id: str, ledger: Ledger, brought: Any, other: Path, people: tuple[str, ...], told: Any
) -> None:
    note = follows(controller_id, digest_of(other), SHIPPED, 2, people)
    assert refused(lambda: brought(other, note)) == told
    assert ledger.outcomes("policy:activated") == ["done", "refused"]
    assert in_force(opened.vault.database, opened.vault.keys, controller_id).digest == SHIPPED


def test_a_note_is_of_this_bundle_this_place_and_this_time(
    opened: Opened, controller_id: str, brought: Any, other: Path, tmp_path: Path
) -> None:
    digest = digest_of(other)
    later = Activation(controller_id, 2, digest, SHIPPED, opened.vault.now().replace(year=2999, microsecond=0))
    assert refused(lambda: brought(other, note_of(later, "ada", "cora"))) == [("note", "note.too-early")]
    assert refused(lambda: brought(other, follows("elsewhere", digest, SHIPPED))) == [("note", "note.other-controller")]
    assert refused(lambda: brought(other, follows(controller_id, digest, SHIPPED, 1))) == [("note", "note.other-sequence")]
    assert refused(lambda: brought(other, follows(controller_id, digest, digest))) == [("note", "note.other-previous")]
    changed = altered(tmp_path, {"limits.yaml": shipped_text("limits.yaml") + "# one line more\n"})
    assert refused(lambda: brought(changed, follows(controller_id, digest, SHIPPED))) == [("note", "note.other-bundle")]
    assert refused(lambda: brought(tmp_path / "nothing", follows(controller_id, digest, SHIPPED))) == [
        ("note", "note.other-bundle")
    ]


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("roles/t1.cedar", 'Purpose::"customer-care"', 'Purpose::"customer-caer"', "is unknown"),
        ("roles/t1.cedar", '@id("t1-contact")\n', "", "@id"),
        ("exemptions.txt", "\n", "\n\n", "does not equal the exemptions"),
        ("gates/rendering.cedar", "unless {", "unless { context.minor ||", "exemption"),
    ],
    ids=["unknown entity", "missing id", "exemptions differ", "unlisted exemption"],
)
def test_what_the_lint_refuses_does_not_come_into_force(
    controller_id: str, brought: Any, tmp_path: Path, path: str, old: str, new: str, said: str
) -> None:
    text = shipped_text(path)
    assert old in text
    directory = altered(tmp_path, {path: text.replace(old, new, 1)})
    found = refused(lambda: brought(directory, follows(controller_id, digest_of(directory), SHIPPED)))
    assert found
    assert found[0][0] != "note"
    assert said in " ".join(code for _, code in found) or path.endswith("rendering.cedar"), found


def test_what_widens_unaccepted_does_not_come_into_force_and_what_is_accepted_does(
    controller_id: str, brought: Any, tmp_path: Path, ledger: Ledger
) -> None:
    text = shipped_text("roles/verbs.cedar")
    directory = altered(tmp_path, {"roles/verbs.cedar": text.replace('Role::"t2"', 'Role::"t1"', 1)})
    found = refused(lambda: brought(directory, follows(controller_id, digest_of(directory), SHIPPED)))
    assert {code for _, code in found} == {"widens.unaccepted"}
    rows = [dict(zip(("role", "purpose", "category", "policy"), one.split(" / "), strict=True)) for one, _ in found]
    lines = [", ".join(f'{name}: "{value}"' for name, value in row.items()) for row in rows]
    entries = "".join(f'  - {{from: "{SHIPPED}", {line}, reason: "first tier enrols", owner: the officer}}\n' for line in lines)
    (directory / "plan").mkdir()
    (directory / "plan" / "accepted.yaml").write_text(f"schema: riserbo-accepted/1\nwidens:\n{entries}")
    assert brought(directory, follows(controller_id, digest_of(directory), SHIPPED)).row.sequence == 2
    assert ledger.outcomes("policy:activated") == ["done", "refused", "done"]


def test_a_bundle_is_tried(controller_id: str, brought: Any, tmp_path: Path) -> None:
    text = shipped_text("roles/t1.cedar").replace('[Vault::Field::"correspondence"]', '[Vault::Field::"contact_hours"]')
    directory = altered(tmp_path, {"roles/t1.cedar": text})
    found = refused(lambda: brought(directory, follows(controller_id, digest_of(directory), SHIPPED), failing_cases))
    assert ("health-insurance/t1/correspondence", "case.fails") in found


def test_what_stored_data_rest_on_cannot_be_taken_away(vault: Vault, controller_id: str, brought: Any, tmp_path: Path) -> None:
    make_subject(vault, controller_id, {"given_name": "Ada"}, ("retail", "marketing"))
    text = shipped_text("agreements/retail.v1.yaml")
    directory = altered(
        tmp_path,
        {
            "agreements/retail.v1.yaml": text.replace("operations: [consult, use, store]", "operations: [consult, store]"),
            "agreements/marketing.v1.yaml": None,
            "texts/marketing.v1.it.md": None,
            "texts/marketing.v1.en.md": None,
            "tests/matrix/roles.yaml": shipped_text("tests/matrix/roles.yaml"),
        },
    )
    relock(directory)
    found = refused(lambda: brought(directory, follows(controller_id, digest_of(directory), SHIPPED)))
    assert ("retail@1", "template.changed") in found
    assert ("marketing@1", "template.gone") in found


# --- a table that says something else --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE vault.policy_activation SET digest = 'sha256:{zeros}' WHERE controller_id = '{controller}' AND sequence = 2",
        "UPDATE vault.policy_activation SET note = note || ' ' WHERE controller_id = '{controller}' AND sequence = 2",
        "UPDATE vault.policy_activation SET entry_id = 'ent_x' WHERE controller_id = '{controller}' AND sequence = 1",
        "UPDATE vault.policy_activation SET sequence = 3 WHERE controller_id = '{controller}' AND sequence = 2",
        "DELETE FROM vault.policy_activation WHERE controller_id = '{controller}' AND sequence = 2",
        "DELETE FROM vault.policy_activation WHERE controller_id = '{controller}' AND sequence = 1",
        "DELETE FROM vault.policy_activation WHERE controller_id = '{controller}'",
        (
            "INSERT INTO vault.policy_activation SELECT controller_id, 3, previous, digest, note, activated_at, entry_id,"
            " secret_version, mac FROM vault.policy_activation WHERE controller_id = '{controller}' AND sequence = 2"
        ),
        # table and trail agree, as they would for who writes both: no key made these
        r"UPDATE vault.policy_activation SET mac = '\x00' WHERE controller_id = '{controller}' AND sequence = 2",
        "UPDATE vault.policy_activation SET secret_version = 9 WHERE controller_id = '{controller}' AND sequence = 2",
    ],
    ids=["digest", "note", "entry", "number", "restored", "without its first", "emptied", "added", "forged", "of no secret"],
)
def test_an_edited_or_restored_table_is_in_force_nowhere(
    opened: Opened, controller_id: str, brought: Any, other: Path, ledger: Ledger, edit: str
) -> None:
    brought(other, follows(controller_id, digest_of(other), SHIPPED))
    until_in_force(opened, controller_id, digest_of(other))
    ledger.owner(ATTACKER + "; " + edit.format(zeros="0" * 64, controller=controller_id))
    with pytest.raises(PolicyUnavailable) as refusal:
        in_force(opened.vault.database, opened.vault.keys, controller_id)
    assert refusal.value.code == "policy-table-differs"
    with pytest.raises(PolicyUnavailable):
        brought(other, follows(controller_id, digest_of(other), digest_of(other), 3))
    head_changed = "AND sequence = 1" not in edit or "entry_id" not in edit
    if head_changed and "sequence = 1" not in edit:
        opened.standing.look()
        with pytest.raises(PolicyUnavailable) as refusal:
            opened.vault.governed(controller_id)
        assert refusal.value.code == "policy-table-differs"
    with pytest.raises(PolicyUnavailable) as closed:
        require(opened, controller_id)
    assert closed.value.code == "policy-table-differs"


def require(opened: Opened, controller_id: str) -> None:
    """Ask as a process that starts does: it holds nothing yet."""
    opened.standing._held.pop(controller_id, None)
    opened.standing.look()
    opened.require_policy()


def test_the_note_that_is_on_record_puts_its_row_back(
    opened: Opened, controller_id: str, brought: Any, other: Path, ledger: Ledger
) -> None:
    note = follows(controller_id, digest_of(other), SHIPPED)
    made = brought(other, note)
    ledger.owner(f"{ATTACKER}; DELETE FROM vault.policy_activation WHERE controller_id = '{controller_id}' AND sequence = 2")
    unsigned = follows(controller_id, digest_of(other), SHIPPED, 2, ("bea", "dora"))
    with pytest.raises(PolicyUnavailable):
        brought(other, unsigned)
    back = brought(other, note)
    assert (back.repaired, back.row.entry_id) == (True, made.row.entry_id)
    assert in_force(opened.vault.database, opened.vault.keys, controller_id) == back.row
    assert ledger.outcomes("policy:repaired") == ["done"]


def test_a_rollback_puts_its_row_back_too(opened: Opened, controller_id: str, brought: Any, other: Path, ledger: Ledger) -> None:
    brought(other, follows(controller_id, digest_of(other), SHIPPED))
    note, settle = follows(controller_id, SHIPPED, digest_of(other), 3), opened.trail.settle
    roll_back(opened.vault, controller_id, note, KNOWN, settle)
    ledger.owner(f"{ATTACKER}; DELETE FROM vault.policy_activation WHERE controller_id = '{controller_id}' AND sequence = 3")
    assert roll_back(opened.vault, controller_id, note, KNOWN, settle).repaired


def test_an_activation_that_fails_half_way_is_told_and_its_sequence_is_free(
    opened: Opened, controller_id: str, other: Path, ledger: Ledger
) -> None:
    asked = []

    def closed(name: str) -> None:
        asked.append(name)
        if len(asked) > 1:  # the first time nothing is recorded yet
            raise AuditUnavailable
        opened.trail.settle(name)

    note, files = follows(controller_id, digest_of(other), SHIPPED), read_files(other)
    with pytest.raises(AuditUnavailable):
        activate(opened.vault, controller_id, note, files, KNOWN, closed, untried)
    opened.trail.settle(controller_id)
    assert in_force(opened.vault.database, opened.vault.keys, controller_id).digest == SHIPPED
    assert activate(opened.vault, controller_id, note, files, KNOWN, opened.trail.settle, untried).row.sequence == 2
    assert ledger.outcomes("policy:activated") == ["done", "done", "failed", "done"]


def test_where_the_database_is_lost_at_the_row_the_same_note_mends_it(
    opened: Opened, controller_id: str, brought: Any, other: Path, ledger: Ledger
) -> None:
    """Nobody knows then whether the row is there: an entry that it is not would stand against it for ever."""
    note = follows(controller_id, digest_of(other), SHIPPED)
    table = "vault.policy_activation"
    ledger.owner(
        "CREATE FUNCTION vault.lose() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$; "
        f"CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW WHEN (NEW.controller_id = '{controller_id}') EXECUTE FUNCTION vault.lose()"
    )
    try:
        with pytest.raises(DatabaseUnavailable):
            brought(other, note)
    finally:
        ledger.owner(f"DROP TRIGGER lose ON {table}; DROP FUNCTION vault.lose()")
    opened.trail.settle(controller_id)
    assert ledger.outcomes("policy:activated") == ["done", "done"]
    assert brought(other, note).repaired
    assert in_force(opened.vault.database, opened.vault.keys, controller_id).digest == digest_of(other)


def test_what_came_into_force_is_in_the_order_of_the_trail_whatever_the_clock_says(
    opened: Opened, controller_id: str, brought: Any, other: Path, ledger: Ledger
) -> None:
    brought(other, follows(controller_id, digest_of(other), SHIPPED))
    roll_back(opened.vault, controller_id, follows(controller_id, SHIPPED, digest_of(other), 3), KNOWN, opened.trail.settle)
    second = history(opened.vault.database, opened.vault.keys, controller_id)[1].entry_id
    ledger.owner(  # as if the clock had been ten minutes ahead then
        f"{ATTACKER}; UPDATE vault.audit_lookup SET at = at + 600000 WHERE entry_id = '{second}'"
    )
    assert in_force(opened.vault.database, opened.vault.keys, controller_id).sequence == 3


def test_of_two_who_activate_at_once_one_does(opened: Opened, controller_id: str, other: Path, ledger: Ledger) -> None:
    """The second comes when the first's entry has its position and its row is not there yet: as if it had to be repaired."""
    note, files, asked = follows(controller_id, digest_of(other), SHIPPED), read_files(other), []

    def interrupted(name: str) -> None:
        opened.trail.settle(name)
        asked.append(name)
        if len(asked) == 2:
            with pytest.raises(Conflict) as refusal:
                activate(opened.vault, controller_id, note, files, KNOWN, opened.trail.settle, untried)
            assert refusal.value.code == "policy-changing"

    done = activate(opened.vault, controller_id, note, files, KNOWN, interrupted, untried)
    opened.trail.settle(controller_id)
    assert (in_force(opened.vault.database, opened.vault.keys, controller_id), done.repaired) == (done.row, False)
    assert ledger.outcomes("policy:activated") == ["done", "done", "refused"]


def test_what_came_into_force_while_a_bundle_was_tried_stays_without_a_second_word(
    opened: Opened, controller_id: str, other: Path, ledger: Ledger
) -> None:
    """A bundle is tried for a minute. Who was faster meanwhile is neither followed nor contradicted by an entry."""
    note, files = follows(controller_id, digest_of(other), SHIPPED), read_files(other)

    def overtaken(_: Bundle) -> tuple[str, ...]:
        activate(opened.vault, controller_id, note, files, KNOWN, opened.trail.settle, untried)
        return ()

    with pytest.raises(Conflict) as refusal:
        activate(opened.vault, controller_id, note, files, KNOWN, opened.trail.settle, overtaken)
    assert refusal.value.code == "policy-changing"
    assert in_force(opened.vault.database, opened.vault.keys, controller_id).sequence == 2
    assert ledger.outcomes("policy:activated") == ["done", "done", "refused"]


def test_where_nothing_was_activated_nothing_is_decided_until_two_people_sign(
    opened: Opened, controllers: Controllers, ledger: Ledger
) -> None:
    """A controller from before there were activations."""
    vault, controller_id = opened.vault, controllers()
    opened.trail.settle(controller_id)
    ledger.owner(f"{ATTACKER}; DELETE FROM vault.policy_activation WHERE controller_id = '{controller_id}'")
    ledger.owner(f"{ATTACKER}; UPDATE vault.audit_lookup SET operation = 'x' WHERE controller_id = '{controller_id}'")
    opened.standing._held.pop(controller_id, None)
    opened.standing.look()
    with pytest.raises(PolicyUnavailable) as refusal:
        vault.governed(controller_id)
    assert refusal.value.code == "policy-never-activated"
    opened.require_policy()  # no sign of an attack: the process starts, and this controller is closed
    first = follows(controller_id, SHIPPED, None, 1)
    done = activate(vault, controller_id, first, read_files(shipped()), KNOWN, opened.trail.settle, untried)
    opened.standing.look()
    assert (done.row.sequence, vault.governed(controller_id).policy.digest) == (1, SHIPPED)


def test_the_application_can_neither_change_nor_remove_what_came_into_force(database_url: str, controller_id: str) -> None:
    for role, error in (("riserbo_app", psycopg.errors.InsufficientPrivilege), ("riserbo_owner", psycopg.Error)):
        address = psycopg.conninfo.conninfo_to_dict(database_url) | {
            "user": role,
            "options": f"-c riserbo.controller={controller_id}",
        }
        with psycopg.connect(autocommit=True, **address) as connection:  # type: ignore[arg-type]
            for table in ("policy_activation", "policy_bundle"):
                for statement in (f"UPDATE vault.{table} SET digest = 'x'", f"DELETE FROM vault.{table}"):
                    with pytest.raises(error):
                        connection.execute(statement.encode())


def test_what_is_kept_of_another_controller_is_not_kept_here(
    opened: Opened, controller_id: str, controllers: Controllers, brought: Any, other: Path
) -> None:
    brought(other, follows(controller_id, digest_of(other), SHIPPED))
    with pytest.raises(Conflict) as refusal:
        bundle_of(opened.vault, controllers(), digest_of(other))
    assert refusal.value.code == "bundle-not-kept"
    assert bundle_of(opened.vault, controller_id, digest_of(other)).digest == digest_of(other)
    assert bundle_of(replace(opened.vault), controller_id, SHIPPED) is opened.vault.policy


def test_a_refused_note_names_no_key(controller_id: str, brought: Any, other: Path) -> None:
    assert SINCE.tzinfo is not None
    with pytest.raises(InvalidValue) as refusal:
        brought(other, follows(controller_id, digest_of(other), SHIPPED, 2, ("ada",)))
    assert "ada" not in repr(refusal.value.faults)
