"""A restored backup brings nobody back: it is closed until the ledger was replayed, and then stands as if it had never been old."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.assurance.yesterday import Restorable, restorable
from tests.conftest import Controllers
from tests.makers import HEALTH, make_context, make_ticket, register
from tests.operations.test_erase import MARKETED, WHOLE, Failing, House
from vault.__main__ import app
from vault.assembly import Vault
from vault.connectors.embedded_postgres import PostgresServer
from vault.connectors.erasure_ledger import FILE_NAME
from vault.erasure import records as erasures
from vault.erasure.ledger import Line, Op, Said, to_replay
from vault.errors import LedgerUnavailable
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.erase import Order, erase
from vault.operations.forget_barred import forget_barred
from vault.operations.narrow import narrow
from vault.operations.object_to import object_to
from vault.operations.obscure import obscure
from vault.operations.on_ledger import said_of
from vault.operations.record_death import record_death
from vault.operations.recover import Decided
from vault.operations.replay import finish_acts
from vault.operations.restrict import lift_restriction, restrict
from vault.operations.withdraw import withdraw
from vault.policy.model import Context
from vault.settings import Settings

CONTROLLER = "again"
ILL = {"given_name": "Ada", **{name: HEALTH[name] for name in ("oncology_history", "allergies")}}
DECIDED = Decided(("anna.verdi", "bruno.neri"), "restored from the backup of last night")
runner = CliRunner()


@dataclass(frozen=True)
class Installation:
    """A vault whose database can be put back; each `opened` is a process of its own."""

    database: Restorable
    settings: Settings

    def opened(self) -> AbstractContextManager[Opened]:
        keyring = open_keyring(self.settings.model_copy(update={"database_url": None}))
        return assembled(self.settings, Addresses(self.database.url, None), keyring)


@pytest.fixture
def installation(postgres: PostgresServer, clone: Callable[[], str], tmp_path: Path) -> Iterator[Installation]:
    with restorable(postgres, clone(), "yesterday") as database:
        yield Installation(database, Settings(home=tmp_path / "home", database_url=database.url, key_lifetime_s=30))


def cut_to(settings: Settings, count: int) -> bytes:
    """Leave so many lines of the ledger, and return all there were."""
    whole = (settings.erasure_ledgers[0] / FILE_NAME).read_bytes()
    for directory in settings.erasure_ledgers:
        (directory / FILE_NAME).write_bytes(b"".join(whole.splitlines(keepends=True)[:count]))
    return whole


def told(house: House, subject_id: str) -> datetime:
    """Return a moment between their restriction and now."""
    ((since,),) = house.ledger.rows("vault.subject", f"subject_id = '{subject_id}'", "restricted_at")
    assert isinstance(since, datetime)
    return since


def lived(installation: Installation) -> tuple[dict[str, str], list[tuple[object, ...]], Order]:
    """Keep a backup, erase, withdraw, object and restrict; return people, how everybody stands, and an order not carried out."""
    with installation.opened() as opened:
        opened.add_controller(CONTROLLER)
        register(opened.vault, CONTROLLER, "dpo", "system", "t2", "dsr-officer")
        house = House(opened, CONTROLLER)
        people = {
            name: house.person({**values, "email": f"{name}@example.it"}, agreed)
            for name, values, agreed in (
                ("gone", MARKETED, ("marketing",)), ("kept", {**WHOLE, "customer_number": "K-1"}, ("retail",)),
                ("ended", MARKETED, ("marketing",)), ("quiet", MARKETED, ("marketing",)), ("still", MARKETED, ("marketing",)),
                ("narrower", MARKETED, ("marketing",)), ("dead", MARKETED, ("marketing",)), ("alive", MARKETED, ("marketing",)),
                ("amended", MARKETED, ("retail",)), ("lifted", MARKETED, ("marketing",)),
                ("ill", ILL, ("health-insurance",)),
            )
        }  # fmt: skip
        opened.trail.settle(CONTROLLER)
    installation.database.keep("yesterday")  # while nobody is connected: whoever is loses the connection
    with installation.opened() as opened:
        house = House(opened, CONTROLLER)
        vault = house.vault
        for name in ("gone", "kept"):
            house.erased(people[name], f"req_{name}")
        own = {name: make_context(CONTROLLER, "customer", subject_id=one) for name, one in people.items()}
        withdraw(vault, own["ended"], house.agreement(people["ended"], "in_force"), {})
        object_to(vault, own["quiet"], people["quiet"], "marketing")
        object_to(vault, own["quiet"], people["quiet"], "interests")
        restrict(vault, house.dpo, people["quiet"], "claims", ["email"])
        narrow(vault, own["narrower"], house.agreement(people["narrower"], "in_force"), ["mobile"], {})
        record_death(vault, house.dpo, people["dead"], date(2026, 1, 2), "civil-registry")
        for on in (date(2026, 1, 2), None):
            record_death(vault, house.dpo, people["alive"], on, "civil-registry")
        desk = make_context(CONTROLLER, "t2", ticket=make_ticket(vault, CONTROLLER, people["amended"], "t2", "TCK-R1"))
        for version, changed in ((1, {"email": "right@example.it"}), (2, {"mobile": None})):
            amend(vault, desk, people["amended"], house.agreement(people["amended"], "in_force"), changed, version)
        for name in ("amended", "lifted"):
            restrict(vault, house.dpo, people[name], "accuracy", ["email", "given_name"])
            lift_restriction(house.vault, house.dpo, people[name], told(house, people[name]), ["email", "given_name"])
        forget_barred(vault, CONTROLLER, people["ill"], "req_ill")
        obscure(vault, own["ill"], people["ill"], ["allergies"])
        after, order = stands(house), house.order(people["still"], "req_still")
        opened.trail.settle(CONTROLLER)
        opened.export_keys()
    return people, after, order


def test_a_restored_backup_is_closed_until_the_ledger_was_replayed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, after, order = lived(installation)
    installation.database.restore("yesterday")
    for count in (0, 1):  # as old as the backup: but a key export tells that there were more lines
        whole = cut_to(installation.settings, count)
        with installation.opened() as opened:
            for refused in (opened.require_ledger, lambda: opened.replay(CONTROLLER), lambda: opened.vault.governed(CONTROLLER)):
                with pytest.raises(LedgerUnavailable, match="ledger-behind"):
                    refused()
        for directory in installation.settings.erasure_ledgers:
            (directory / FILE_NAME).write_bytes(whole)
    with installation.opened() as opened:
        house = House(opened, CONTROLLER)
        assert stands(house) != after
        opened.recover(CONTROLLER, DECIDED)
        opened.trail.settle(CONTROLLER)
        for refused in (lambda: opened.vault.governed(CONTROLLER), opened.require_ledger, lambda: opened.vault.closing(CONTROLLER)):
            with pytest.raises(LedgerUnavailable) as refusal:
                refused()
            assert refusal.value.code == "ledger-ahead"
        line = next(one for one in opened.health() if one.name == f"erasure_ledger of {CONTROLLER}")
        assert (line.ok, line.note, line.do) == (False, "ledger-ahead", "riserbo restore --replay-erasures")
        with pytest.raises(LedgerUnavailable):  # not even what takes away is done, by whoever holds rules of before
            erase(opened.repairing.governed(CONTROLLER), house.dpo, people["still"], order)
        assert house.left(people["gone"])
    monkeypatch.setenv("RISERBO_HOME", str(installation.settings.home))
    monkeypatch.setenv("RISERBO_DATABASE_URL", installation.database.url)
    assert runner.invoke(app, ["restore"]).exit_code == 1
    done = runner.invoke(app, ["restore", "--replay-erasures", "--json"])
    assert done.exit_code == 0, done.output
    acts = {
        "intent": 2, "withdraw": 1, "suppress": 1, "object": 1, "restrict": 3, "lift": 2, "forget": 1, "narrow": 1, "deceased": 2,
        "alive": 1, "obscure": 1, "amend": 2,
    }  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == {"replayed": {CONTROLLER: acts}}
    with installation.opened() as opened:
        house = House(opened, CONTROLLER)
        opened.require_ledger()
        assert stands(house, people["amended"]) == [one for one in after if one[0] != people["amended"]]
        assert house.ledger.rows("vault.subject", f"subject_id = '{people['amended']}'", "restricted") == [(["email", "mobile"],)]
        assert house.left(people["gone"]) == {}
        own = make_context(CONTROLLER, "customer", subject_id=people["ill"], purpose="rights-fulfilment")
        seen = disclose(house.vault, Ask(own, people["ill"], ("oncology_history", "given_name"))).fields
        assert (seen["oncology_history"].state, seen["given_name"].value) == ("absent", "Ada")
        assert house.ledger.outcomes("ledger-replay") == ["done"]
        assert opened.replay(CONTROLLER).acts == {}
        assert len(house.ledger.rows("vault.tombstone")) >= 2
        assert house.erased(people["still"]).result["outcome"] == "complete"
    cut_to(installation.settings, -2)
    with installation.opened() as opened:
        with pytest.raises(LedgerUnavailable) as refusal:
            opened.require_ledger()
        assert refusal.value.code == "ledger-behind"
        with pytest.raises(LedgerUnavailable):
            opened.replay(CONTROLLER)


def stands(house: House, but: str = "") -> list[tuple[object, ...]]:
    """Return how everybody but one stands, without when and by which entry."""
    columns = "subject_id, state, restricted, objected, objected_marketing, obscured, deceased_on IS NOT NULL"
    agreed = house.ledger.rows("vault.agreement_state", "status <> 'dormant'", "subject_id, status, consent, excluded")
    keys = house.ledger.rows("keys.data_key", columns="subject_id, class, generation, state")
    found = house.ledger.rows("vault.subject", columns=columns) + agreed + keys
    return sorted(one for one in found if one[0] != but)


@pytest.fixture(scope="module")
def house(opened: Opened, shared_controllers: Controllers) -> House:
    found = House(opened, shared_controllers())
    register(opened.vault, found.controller_id, "dpo", "system", "t2")
    return found


def acts(house: House, vault: Vault, own: Context, subject_id: str) -> dict[str, Callable[[], object]]:
    desk = make_context(house.controller_id, "t2", ticket=f"TCK-{subject_id}")
    return {
        "withdraw": lambda: withdraw(vault, own, house.agreement(subject_id, "in_force"), {}),
        "suppress": lambda: object_to(vault, own, subject_id, "marketing"),
        "object": lambda: object_to(vault, own, subject_id, "interests"),
        "restrict": lambda: restrict(vault, house.dpo, subject_id, "claims", ["email"]),
        "narrow": lambda: narrow(vault, own, house.agreement(subject_id, "in_force"), ["email"], {}),
        "deceased": lambda: record_death(vault, house.dpo, subject_id, date(2026, 1, 2), "court"),
        "obscure": lambda: obscure(vault, own, subject_id, ["allergies"]),
        "amend": lambda: amend(vault, desk, subject_id, house.agreement(subject_id, "in_force"), {"mobile": "+39 333 7654321"}, 1),
    }


OPS = ("withdraw", "suppress", "object", "restrict", "narrow", "deceased", "obscure", "amend")


def somebody(house: House, name: str) -> str:
    values = {"given_name": "Ada", "allergies": HEALTH["allergies"]} if name.startswith("obscure") else MARKETED
    agreed = {"obscure": "health-insurance", "amend": "retail"}.get(name.rstrip("2"), "marketing")
    subject_id = house.person({**values, "email": f"{name}@example.it"}, (agreed,))
    make_ticket(house.vault, house.controller_id, subject_id, "t2", f"TCK-{subject_id}")
    return subject_id


@pytest.mark.parametrize("op", OPS)
def test_an_act_the_ledger_knows_and_the_database_does_not_is_carried_out_at_the_next_start(house: House, op: str) -> None:
    subject_id = somebody(house, op)
    own = make_context(house.controller_id, "customer", subject_id=subject_id)
    dying = replace(house.vault, ledger=Failing(house.vault.ledger, op, after=True))
    before = stands(house)
    with pytest.raises(KeyboardInterrupt):
        acts(house, dying, own, subject_id)[op]()
    assert stands(house) == before
    assert finish_acts(house.vault, house.controller_id) == 1
    now = stands(house)
    assert now != before
    assert finish_acts(house.vault, house.controller_id) == 0
    assert stands(house) == now


@pytest.mark.parametrize("op", OPS)
def test_an_act_the_ledger_cannot_take_does_not_happen(house: House, op: str) -> None:
    subject_id = somebody(house, f"{op}2")
    own = make_context(house.controller_id, "customer", subject_id=subject_id)
    before = stands(house)
    with pytest.raises(LedgerUnavailable):
        acts(house, replace(house.vault, ledger=Failing(house.vault.ledger, op, after=False)), own, subject_id)[op]()
    assert stands(house) == before


def test_what_names_nobody_here_is_done_with(house: House) -> None:
    ops: tuple[Op, ...] = ("intent", "withdraw")
    for op in ops:
        house.vault.ledger.append(said_of(house.vault, op, house.controller_id, "sub_nobody"))
        assert finish_acts(house.vault, house.controller_id) == 1
        assert house.opened.following.state(house.controller_id) == "level"


def test_what_was_amended_here_is_not_contested_though_nothing_closed_its_line(house: House) -> None:
    """Seen failing with what a frame was written by last: a first telephone, then another field, was contested though right."""
    subject_id = somebody(house, "amend22")
    desk = make_context(house.controller_id, "t2", ticket=f"TCK-{subject_id}")
    unsaid = replace(house.vault, ledger=Failing(house.vault.ledger, "live", after=False))
    for version, changed in enumerate(({"phone": "02 7654321"}, {"mobile": "+39 333 7654321"}, {"mobile": "+39 333 7654322"}), 1):
        amend(unsaid, desk, subject_id, house.agreement(subject_id, "in_force"), changed, version)
    assert finish_acts(house.vault, house.controller_id) == 3
    assert house.ledger.rows("vault.subject", f"subject_id = '{subject_id}'", "restricted") == [([],)]
    assert house.vault.ledger.unfinished(house.controller_id) == []


def test_an_act_left_open_is_not_closed_by_another_of_the_same_person(house: House) -> None:
    subject_id = somebody(house, "open")
    unsaid = replace(house.vault, ledger=Failing(house.vault.ledger, "live", after=False))
    restrict(unsaid, house.dpo, subject_id, "claims", ["email"])
    object_to(house.vault, make_context(house.controller_id, "customer", subject_id=subject_id), subject_id, "interests")
    assert [one.said.op for one in house.vault.ledger.unfinished(house.controller_id)] == ["restrict"]
    assert finish_acts(house.vault, house.controller_id) == 1


@pytest.mark.parametrize("op", ["withdraw", "restrict", "amend", "obscure"])
def test_an_act_carried_out_after_others_is_known_to_a_backup_made_between(house: House, op: str) -> None:
    """Seen failing with its first line taken: the mark of that backup was beyond it, and what it brought back stayed."""
    subject_id, other = somebody(house, f"{op}2222"), somebody(house, f"other-{op}")
    own = make_context(house.controller_id, "customer", subject_id=subject_id)
    with pytest.raises(KeyboardInterrupt):
        acts(house, dying(house, op), own, subject_id)[op]()
    restrict(house.vault, house.dpo, other, "claims", ["email"])
    with house.vault.database.snapshot(house.controller_id) as rows:
        mark = erasures.mark(rows, house.controller_id)
    assert mark is not None
    assert finish_acts(house.vault, house.controller_id, house.vault.now() - timedelta(hours=1)) == 0  # it may be under way
    assert finish_acts(house.vault, house.controller_id) == 1
    assert house.vault.ledger.standing(house.controller_id, mark) == "ahead"
    assert [one.said.op for one in to_replay(house.vault.ledger.lines(), house.controller_id, mark.number)] == [op]
    assert house.vault.ledger.unfinished(house.controller_id) == []
    assert house.opened.following.state(house.controller_id) == "level"


def test_what_gives_back_and_was_perhaps_never_done_comes_to_nothing(house: House) -> None:
    subject_id = somebody(house, "back")
    restrict(house.vault, house.dpo, subject_id, "claims", ["email"])
    record_death(house.vault, house.dpo, subject_id, date(2026, 1, 2), "court")
    before = stands(house)
    with pytest.raises(KeyboardInterrupt):
        lift_restriction(dying(house, "lift"), house.dpo, subject_id, told(house, subject_id))
    with pytest.raises(KeyboardInterrupt):
        record_death(dying(house, "alive"), house.dpo, subject_id, None, "court")
    assert finish_acts(house.vault, house.controller_id) == 2
    assert (stands(house), house.vault.ledger.unfinished(house.controller_id)) == (before, [])
    assert house.lines()[-1].said.op == house.lines()[-2].said.op == "void"


def dying(house: House, op: str) -> Vault:
    return replace(house.vault, ledger=Failing(house.vault.ledger, op, after=True))


class Interrupted:
    """The ledger, but after the line of an amendment somebody else does something."""

    def __init__(self, real: Any, then: Callable[[], object]) -> None:
        self._real, self._then = real, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def append(self, said: Said) -> Line:
        line: Line = self._real.append(said)
        if said.op == "amend":
            self._then()
        return line


def test_an_amendment_that_another_process_is_about_to_commit_is_not_contested(house: House) -> None:
    subject_id = somebody(house, "amend222")
    starting = Thread(target=lambda: finish_acts(house.vault, house.controller_id))

    def start() -> None:
        starting.start()
        starting.join(0.5)  # it waits for who amends, having looked or not

    act = acts(house, replace(house.vault, ledger=Interrupted(house.vault.ledger, start)), house.dpo, subject_id)["amend"]
    act()
    starting.join()
    assert house.ledger.rows("vault.subject", f"subject_id = '{subject_id}'", "restricted") == [([],)]
