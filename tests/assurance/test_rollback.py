"""Yesterday's database put back under a running vault: it stops, says what helps, and goes on in another era once two decided.

The database is really copied and really put back; the vault, its API and the officer's witness are the real ones.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.main import create_app
from tests.assurance.desk import Desk, Keys, register_identities
from tests.assurance.yesterday import Restorable, restorable
from tests.makers import EVERYTHING, terms
from vault.__main__ import app
from vault.audit.checkpoint import origin, parse_note
from vault.audit.merkle import Tree
from vault.audit.records import Head, copies, head, tile_reader
from vault.connectors.demo_issuer import DemoIssuer
from vault.connectors.embedded_postgres import PostgresServer
from vault.connectors.policy_keys import make_key, read_key
from vault.connectors.signer_state import DirectorySignerState
from vault.errors import AuditUnavailable, Conflict, DatabaseUnavailable, InvalidValue, VaultError
from vault.notes import COSIGNATURE, VerifierKey
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.operations.enroll import enroll
from vault.operations.recover import Decided, Recovered
from vault.operations.show_entry import show_entry
from vault.operations.witness import Witness, acknowledge, witness_log
from vault.settings import Settings

CONTROLLER = "back"
DECIDED = Decided(("anna.verdi", "bruno.neri"), "restored from the backup of last night")
RETAIL = {name: value for name, value in EVERYTHING.items() if name != "related_person"}
runner = CliRunner()


@dataclass(frozen=True, slots=True)
class Served:
    """A vault that is served, on a database that can be put back."""

    desk: Desk
    opened: Opened
    database: Restorable
    settings: Settings
    subject_id: str
    ticket: str

    def read(self) -> int:
        """Read the profile once more; return the status."""
        return self.desk.profile("t2", self.subject_id, "given_name", ticket=self.ticket).status_code

    def ready(self) -> dict[str, dict[str, object]]:
        """The lines of readiness."""
        return {one["name"]: one for one in self.desk.client.get("/readyz").json()["checks"]}

    def settle(self) -> None:
        """Sequence and sign; connections from before a copy was made are found dead first."""

        def settled() -> bool:
            try:
                self.opened.trail.settle(CONTROLLER)
            except VaultError:
                return False
            return True

        assert reached(settled)

    def size(self) -> int:
        with self.opened.vault.database.snapshot(CONTROLLER) as rows:
            at = head(rows, CONTROLLER)
        assert at is not None
        return at.size

    def origin(self, era: int) -> str:
        return origin(self.settings.host, CONTROLLER, era)


@pytest.fixture
def served(postgres: PostgresServer, clone: Callable[[], str], tmp_path: Path) -> Iterator[Served]:
    with restorable(postgres, clone(), "yesterday") as database:
        settings = Settings(
            home=tmp_path / "home", token_issuer="https://issuer.example", jwks_url="http://127.0.0.1:1/jwks", unbound_systems=True,
            database_url=database.url,
        )  # fmt: skip
        issuer = DemoIssuer("https://issuer.example", "http://127.0.0.1:1/jwks", "riserbo", ec.generate_private_key(ec.SECP256R1()))
        keyring = open_keyring(settings.model_copy(update={"database_url": None}))
        with assembled(settings, Addresses(database.url, None), keyring) as opened:
            opened.add_controller(CONTROLLER)
            register_identities(opened.vault, CONTROLLER)
            served = create_app(opened.vault, opened.health, keys=Keys(tuple(issuer.key_set()["keys"])), slot_s=0.0005)
            with TestClient(served, raise_server_exceptions=False) as client:
                desk = Desk(client, issuer, opened, CONTROLLER)
                made = enroll(opened.vault, desk.context("system"), RETAIL, (terms("retail"),))
                ticket = desk.ticket(made.subject_id, "t2")
                yield Served(desk, opened, database, settings, made.subject_id, ticket)


def reached(condition: Callable[[], bool], within_s: float = 30.0) -> bool:
    ends_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.1)
    return True


def put_back(served: Served, more: int = 5) -> tuple[int, int]:
    """Copy the database, read on, sign, and put the copy back; return the size of the copy and the size that was signed."""
    assert reached(lambda: served.read() == 200)
    served.settle()
    kept = served.size()
    served.database.keep("yesterday")
    assert reached(lambda: served.read() == 200)
    assert [served.read() for _ in range(more)] == [200] * more
    served.settle()
    signed = served.size()
    served.database.restore("yesterday")
    return kept, signed


def recovered(served: Served) -> Recovered:
    """Recover the log; connections from before the copy was put back are found dead first, and the next attempt goes on."""
    assert reached(lambda: bool({"head-behind", "signer-state-missing"} & closed(served)))
    for _ in range(5):
        try:
            return served.opened.recover(CONTROLLER, DECIDED)
        except DatabaseUnavailable:
            time.sleep(0.5)
    return served.opened.recover(CONTROLLER, DECIDED)


def closed(served: Served) -> set[str]:
    return set(served.opened.trail_health.state(CONTROLLER).closed)


def test_yesterdays_database_stops_the_vault_until_two_people_recover_the_log(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, signed = put_back(served)
    assert reached(lambda: "head-behind" in closed(served))
    assert served.read() == 503
    line = served.ready()[f"audit_trail of {CONTROLLER}"]
    assert (line["ok"], line["do"]) == (False, "riserbo audit recover")
    with pytest.raises(AuditUnavailable) as refusal:  # nor does a process start on it
        served.opened.require_trail()
    assert (refusal.value.code, refusal.value.faults[0].pointer) == ("log-went-back", CONTROLLER)
    assert "riserbo audit recover" in refusal.value.faults[0].code

    monkeypatch.setenv("RISERBO_HOME", str(served.settings.home))
    monkeypatch.setenv("RISERBO_DATABASE_URL", served.database.url)
    doctor = runner.invoke(app, ["doctor"])
    assert doctor.exit_code == 1
    assert "run `riserbo audit recover`" in doctor.stderr
    said = "\n".join([*DECIDED.operators, DECIDED.reason, CONTROLLER, ""])
    done = runner.invoke(app, ["audit", "recover", "--json"], input=said)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout.splitlines()[-1])
    assert (document["era"], document["lost"]) == (2, signed - kept)
    assert document["frozen"]["size"] == kept

    assert reached(lambda: served.read() == 200)  # the process that never stopped, by itself
    assert served.ready()[f"audit_trail of {CONTROLLER}"]["ok"]
    verified = runner.invoke(app, ["audit", "verify", "--json"])
    report = json.loads(verified.stdout)
    assert report["ok"], report
    assert (report["lost"], [one["origin"] for one in report["eras_before"]]) == (signed - kept, [served.origin(1)])
    told = runner.invoke(app, ["audit", "verify"]).stderr
    assert f"{served.origin(1)}: {kept} entries" in told
    assert f"{signed - kept} signed entries were lost" in told


def test_the_first_entries_of_an_era_say_what_it_follows(served: Served) -> None:
    kept, signed = put_back(served)
    last = served.opened.state.last(served.origin(1))
    done = recovered(served)
    assert (done.era, done.beginning.kept, done.beginning.lost) == (2, kept, signed - kept)
    assert done.beginning.checkpoint == last
    rows = entries(served, 2)
    assert [one["operation"] for one in rows[:3]] == ["writer-open", "log-recover", "writer-close"]
    assert rows[0]["about"]["origin"] == served.origin(2)
    assert rows[1]["about"] == done.beginning.about
    assert "anna.verdi" not in str(rows)  # who decided, and why, is sealed
    entry = served.desk.entry(rows[1]["id"])
    assert entry.internal == {"operators": list(DECIDED.operators), "reason_text": DECIDED.reason}
    assert show_entry(served.opened.vault, CONTROLLER, rows[1]["id"])["position"] == 1
    assert parse_note(done.note).checkpoint.origin == served.origin(2)
    with pytest.raises(Conflict, match="nothing-to-recover"):
        served.opened.recover(CONTROLLER, DECIDED)

    assert reached(lambda: served.read() == 200)  # a person's chain begins anew in it
    assert [served.read() for _ in range(3)] == [200] * 3
    served.settle()
    report = served.opened.verify(CONTROLLER)
    assert report.ok, report
    assert {one.origin: one.ok for one in report.before} == {served.origin(1): True}


def entries(served: Served, era: int) -> list[dict[str, Any]]:
    with psycopg.connect(served.database.url) as connection:
        found = connection.execute("SELECT leaf FROM vault.audit_entry WHERE era = %s ORDER BY position", (era,)).fetchall()
    return [json.loads(leaf) for (leaf,) in found]


def test_a_database_of_the_era_before_is_behind_whatever_its_size(served: Served) -> None:
    """Put back a second time, from before the recovery: the next era is a third, and says that the second is lost whole."""
    put_back(served)
    first = recovered(served)
    assert reached(lambda: served.read() == 200)
    served.settle()
    of_second = served.size()
    served.database.restore("yesterday")
    second = recovered(served)
    assert (first.era, second.era) == (2, 3)
    assert second.beginning.lost == first.beginning.lost + of_second
    assert parse_note(second.beginning.checkpoint).checkpoint.origin == served.origin(2)
    assert reached(lambda: served.read() == 200)
    served.settle()
    report = served.opened.verify(CONTROLLER)
    assert report.ok, report
    assert [one.origin for one in report.before] == [served.origin(1)]


def test_a_recovery_that_was_interrupted_is_finished_by_the_next(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, signed = put_back(served)
    assert reached(lambda: "head-behind" in closed(served))
    tools = served.opened._tools()

    def fail(*_given: object) -> None:
        raise AuditUnavailable

    tools.signer._database.close()  # the dead connections of before
    for broken in (tools.recorder, tools.signer):
        name = "record_all" if broken is tools.recorder else "begin"
        monkeypatch.setattr(type(broken), name, fail)
        with pytest.raises(AuditUnavailable):
            served.opened.recover(CONTROLLER, DECIDED)
        monkeypatch.undo()
        assert served.read() == 503
    done = recovered(served)
    assert (done.era, done.beginning.lost) == (2, signed - kept)
    assert [one["operation"] for one in entries(served, 2)].count("log-recover") == 1
    assert reached(lambda: served.read() == 200)
    served.settle()
    assert served.opened.verify(CONTROLLER).ok


def test_two_people_and_a_reason_are_needed(served: Served) -> None:
    for operators, reason, pointer in (
        (("anna", " Anna "), "restored from backup", "/operators"),
        (("anna", ""), "restored from backup", "/operators"),
        (("anna", "bruno"), "because", "/reason"),
    ):
        with pytest.raises(InvalidValue) as refusal:
            served.opened.recover(CONTROLLER, Decided(operators, reason))
        assert [one.pointer for one in refusal.value.faults] == [pointer]
    with pytest.raises(Conflict, match="nothing-to-recover"):
        served.opened.recover(CONTROLLER, DECIDED)


# --- the officer's witness, across it ---


class Outside:
    """What the addresses of the log serve: the newest copy of each era's checkpoint, and proofs of the present one."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def checkpoint(self, era: int) -> str | None:
        with self._served.opened.vault.database.snapshot(CONTROLLER) as rows:
            found = copies(rows, CONTROLLER, era)
        return found[-1] if found else None

    def consistency(self, old: int, new: int) -> str | None:
        with self._served.opened.vault.database.snapshot(CONTROLLER) as rows:
            at = head(rows, CONTROLLER)
            assert at is not None
            try:
                path = Tree(new, tile_reader(rows, CONTROLLER, Head(at.era, at.size))).consistency(old)
            except ValueError:
                return None
        return "".join(f"{b64encode(one).decode()}\n" for one in path)


def test_the_witness_tells_of_the_new_era(served: Served, tmp_path: Path) -> None:
    make_key(tmp_path / "witness.key", "dpo.example/witness", bytes(32), COSIGNATURE)
    key = read_key(tmp_path / "witness.key", COSIGNATURE)
    pinned = VerifierKey(served.origin(1), served.opened.vault.signing.checkpoint_key)
    seen, told = (DirectorySignerState(tmp_path / name) for name in ("seen", "told"))
    witness = Witness(pinned, key.public, key.sign, seen, told, lambda: datetime.now(UTC))
    served.settle()
    assert reached(lambda: Outside(served).checkpoint(1) is not None)  # the copy follows the note
    first = witness_log(Outside(served), witness)
    assert [(one.doubt, one.new_era) for one in first] == [(None, False)]
    put_back(served)
    recovered(served)
    assert reached(lambda: served.read() == 200)
    served.settle()
    second = witness_log(Outside(served), witness)
    assert [(one.origin, one.doubt, one.new_era) for one in second][1:] == [(served.origin(2), None, True)]
    # The last checkpoint of the old era is still served; that it continued what was seen, the database can prove no more.
    assert second[0].origin == served.origin(1)
    assert second[0].doubt in {"no-proof", "proof"}
    acknowledge(witness, second)
    third = witness_log(Outside(served), witness)
    assert [(one.origin, one.doubt, one.new_era) for one in third] == [(served.origin(2), None, False)]
