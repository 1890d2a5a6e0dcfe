"""An export is asked for, made, fetched once, and gone; its passphrase is shown once, and nothing of it lies anywhere in clear."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, AuditUnavailable, Conflict, Erased, InvalidValue, NotFound, TooMany, Unreadable
from vault.exports.records import ExportRow
from vault.keys.packages import new_passphrase, public_half
from vault.opening import Opened
from vault.operations import build_exports as building
from vault.operations.build_exports import build_exports
from vault.operations.download_export import Download, download_export
from vault.operations.export_subject import Started, end_exports, export_subject, show_export
from vault.operations.pack_export import pack_export
from vault.policy.model import Context

CANARY = "Zanzibarù"


class Person:
    """Somebody with few data, or with data of Art. 9, and what they do about an export."""

    def __init__(self, vault: Vault, controller_id: str, values: dict[str, Any], agreed: str = "retail") -> None:
        self.vault, self.controller_id = vault, controller_id
        register(vault, controller_id, "t1", "dsr-officer", "system")
        self.subject_id = make_subject(vault, controller_id, values, (agreed,)).subject_id
        make_ticket(vault, controller_id, self.subject_id, "dsr-officer", "TCK-2" + self.subject_id[-4:])

    def own(self, level: int = 3, *, step_up: bool = True) -> Context:
        own = make_context(self.controller_id, "customer", subject_id=self.subject_id)
        return replace(own, caller=replace(own.caller, id=self.subject_id, level=level, step_up=step_up))

    def officer(self) -> Context:
        return make_context(self.controller_id, "dsr-officer", ticket="TCK-2" + self.subject_id[-4:])

    def asked(self, context: Context | None = None, which: str = "access", language: str = "it") -> Started:
        return export_subject(self.vault, context or self.own(), self.subject_id, which, language)

    def ready(self, context: Context | None = None) -> Started:
        started = self.asked(context)
        assert build_exports(self.vault, self.controller_id) == 1
        return started

    def fetched(self, started: Started, passphrase: str | None = None, **own: Any) -> Download:
        return download_export(self.vault, self.own(**own), started.export_id, passphrase or started.passphrase)

    def progress(self, started: Started) -> ExportRow:
        return show_export(self.vault, self.own(), started.export_id).export


def read(download: Download) -> dict[str, bytes]:
    package = b"".join(download.pieces)
    assert len(package) == download.size
    with zipfile.ZipFile(io.BytesIO(package)) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name) for name in packed.namelist()}


@pytest.fixture
def people(
    vault: Vault, shared_controllers: Callable[[], str], made: dict[str, str], log_of: Callable[[], Ledger]
) -> Callable[..., Person]:
    if not made:
        made["controller"] = shared_controllers()
    log_of().owner("UPDATE vault.export SET state = 'failed' WHERE state = 'building'")  # what another test left
    return lambda agreed="retail", **values: Person(vault, made["controller"], {"family_name": CANARY, **values}, agreed)


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return {}


@pytest.fixture
def log_of(opened: Opened, made: dict[str, str]) -> Callable[[], Ledger]:
    return lambda: Ledger(opened, made["controller"])


@pytest.mark.parametrize("change", ["passphrase", "person", "asker", "set", "mark", "whole"])
def test_nothing_is_packed_that_nobody_asked_for(people: Callable[..., Person], log_of: Callable[[], Ledger], change: str) -> None:
    """Seen failing without the mark: whoever wrote a row had anybody's data packed for a passphrase of their own."""
    person, other = people(), people(iban="IT60X0542811101000000123456")
    started = person.asked()
    passphrase, salt = new_passphrase()
    set_to = {
        "passphrase": f"public = '\\x{public_half(passphrase, salt).hex()}', salt = '\\x{salt.hex()}'",
        "person": f"subject_id = '{other.subject_id}'",
        "asker": "asker = jsonb_set(asker, '{kind}', '\"dpo\"')",
        "set": "set = 'portability'",
        "mark": "asked = NULL",
        "whole": f"asked = asked || '\\x00', export_id = 'exp_{'a' * 26}'",
    }
    log_of().owner(f"UPDATE vault.export SET {set_to[change]} WHERE export_id = '{started.export_id}'")
    with capture_logs() as logs:
        assert build_exports(person.vault, person.controller_id) == 0
    assert "export-not-as-asked" in {one.get("code") for one in logs}
    of = f"entry_id = '{started.entry_id}'"
    assert log_of().rows("vault.export", of, "state, wrap, salt, public") == [("failed", None, None, None)]
    assert log_of().rows("vault.export_part", f"export_id IN ('{started.export_id}', 'exp_{'a' * 26}')") == []


def test_what_was_asked_for_is_made_fetched_and_gone(people: Callable[..., Person], log_of: Callable[[], Ledger]) -> None:
    person = people()
    started = person.asked()
    assert len(started.passphrase) == 20
    assert person.progress(started).state == "building"
    with pytest.raises(Conflict, match="export-not-ready"):
        person.fetched(started)
    build_exports(person.vault, person.controller_id)
    at = person.progress(started)
    assert (at.state, at.done) == ("ready", at.total)
    typed = " ".join(started.passphrase.upper()[at : at + 5] for at in range(0, 20, 5))
    files = read(person.fetched(started, typed))
    told = {one["field"]: one["value"] for one in json.loads(files["data/profile.json"])}
    assert told["family_name"] == CANARY
    with pytest.raises(Erased, match="export-gone"):
        person.fetched(started)
    assert log_of().rows("vault.export", f"export_id = '{started.export_id}'", "state, wrap, salt, public") == [
        ("taken", None, None, None)
    ]
    assert log_of().rows("vault.export_part", f"export_id = '{started.export_id}'") == []
    outcomes = log_of().outcomes("download_export")
    assert outcomes[-4:] == ["refused", "done", "done", "refused"]


def test_nothing_of_it_lies_anywhere_in_clear(people: Callable[..., Person], opened: Opened) -> None:
    person = people()
    started = person.ready()
    with psycopg.connect(opened.addresses.url) as owner:
        rows = owner.execute("SELECT e::text, (SELECT string_agg(encode(octets, 'escape'), '') FROM vault.export_part p"
                             " WHERE p.export_id = e.export_id) FROM vault.export e").fetchall()  # fmt: skip
        leaves = owner.execute("SELECT encode(leaf, 'escape') FROM vault.audit_entry").fetchall()
    kept = "\n".join(str(one) for one in (*rows, *leaves))
    for secret in (CANARY, "Zanzibar", started.passphrase, "index.html"):
        assert secret not in kept
    assert started.passphrase not in repr(started)


def test_a_passphrase_that_is_another_s_opens_nothing_and_counts(people: Callable[..., Person]) -> None:
    person, other = people(), people()
    started, others = person.asked(), other.asked()
    assert build_exports(person.vault, person.controller_id) == 2
    for _ in range(10):
        with pytest.raises(InvalidValue):
            person.fetched(started, others.passphrase)
    with pytest.raises(TooMany):
        person.fetched(started)
    assert person.progress(started).starts == 0
    with pytest.raises(NotFound):
        download_export(person.vault, other.own(), started.export_id, started.passphrase)
    with pytest.raises(NotFound):
        show_export(person.vault, other.own(), started.export_id)
    nobody_s = "exp_" + "a" * 26
    with pytest.raises(NotFound):
        show_export(person.vault, person.own(), nobody_s)
    with pytest.raises(NotFound):
        download_export(person.vault, person.own(), nobody_s, started.passphrase)


def test_who_proved_too_little_fetches_nothing(people: Callable[..., Person]) -> None:
    person = people("health-insurance", allergies="penicillina")
    with pytest.raises(AccessDenied, match="level-needed"):
        person.asked(person.own(level=2))
    with pytest.raises(AccessDenied, match="level-needed"):
        person.asked(person.own(level=1))
    started = person.ready()
    with pytest.raises(AccessDenied, match="step-up-needed"):
        person.fetched(started, step_up=False)
    with pytest.raises(AccessDenied, match="level-needed"):
        person.fetched(started, level=2)
    assert "data/profile.json" in read(person.fetched(started))


def test_the_officer_has_it_made_and_never_fetches_it(people: Callable[..., Person]) -> None:
    person = people()
    started = person.ready(person.officer())
    assert show_export(person.vault, person.officer(), started.export_id).starts_left == 3
    with pytest.raises(AccessDenied):
        download_export(person.vault, person.officer(), started.export_id, started.passphrase)
    assert "info/processing.json" in read(person.fetched(started))


def test_three_downloads_may_be_begun(people: Callable[..., Person], log_of: Callable[[], Ledger]) -> None:
    person = people()
    started = person.ready()
    for left in (2, 1, 0):
        pieces: Any = person.fetched(started).pieces
        next(pieces)
        pieces.close()
        assert show_export(person.vault, person.own(), started.export_id).starts_left == left
    assert person.progress(started).state == "spent"
    assert log_of().rows("vault.export_part", f"export_id = '{started.export_id}'") == []
    with pytest.raises(Erased):
        person.fetched(started)


def test_a_download_overtaken_by_another_ends(people: Callable[..., Person]) -> None:
    person = people()
    started = person.ready()
    slow = person.fetched(started)
    read(person.fetched(started))
    with pytest.raises(Unreadable, match="export-gone"):
        list(slow.pieces)


def test_after_seven_days_it_is_gone(people: Callable[..., Person], log_of: Callable[[], Ledger]) -> None:
    person = people()
    started = person.ready()
    late = replace(person.vault, now=lambda: person.progress(started).expires_at + timedelta(seconds=1))
    assert show_export(late, person.own(), started.export_id).export.state == "expired"
    with pytest.raises(Erased):
        download_export(late, person.own(), started.export_id, started.passphrase)
    assert end_exports(late, person.controller_id) >= 1
    assert person.progress(started).state == "expired"
    assert log_of().rows("vault.export_part", f"export_id = '{started.export_id}'") == []
    assert end_exports(late, person.controller_id) == 0


def test_asking_again_replaces_what_was_asked_before(people: Callable[..., Person]) -> None:
    person = people()
    first = person.ready()
    subset = person.asked(which="portability", language="en")
    second = person.asked()
    assert (person.progress(first).state, person.progress(subset).state) == ("replaced", "building")
    with pytest.raises(Erased):
        person.fetched(first)
    assert build_exports(person.vault, person.controller_id) == 2
    assert "data/profile.json" not in read(person.fetched(subset))
    assert "data/profile.json" in read(person.fetched(second))
    for _ in range(2):
        person.asked()
    with pytest.raises(TooMany):
        person.asked()


@pytest.mark.parametrize(("which", "language", "pointer"), [("all", "it", "/set"), ("access", "de", "/language")])
def test_an_order_nobody_can_make_is_refused(people: Callable[..., Person], which: str, language: str, pointer: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        people().asked(which=which, language=language)
    assert [one.pointer for one in refusal.value.faults] == [pointer]


def test_bytes_that_were_altered_or_are_missing_do_not_leave(
    people: Callable[..., Person], log_of: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = people()
    monkeypatch.setattr(building, "PART_BYTES", 4_096)
    started = person.ready()
    of = f"WHERE export_id = '{started.export_id}'"
    log_of().owner(
        f"UPDATE vault.export_part SET octets = set_byte(octets, 100, (get_byte(octets, 100) + 1) % 256) {of} AND number = 1"
    )
    with pytest.raises(Unreadable, match="export-altered"):
        list(person.fetched(started).pieces)
    log_of().owner(f"DELETE FROM vault.export_part {of} AND number = (SELECT max(number) FROM vault.export_part {of})")
    with pytest.raises(Unreadable, match="export-cut-off"):
        person.fetched(started)


def stopping(keep: Callable[[Any], None], at: int, *, before: bool) -> Callable[[Any], None]:
    """Return what keeps parts up to one of them, and stops before it or after it."""

    def kept(parts: Any) -> None:
        if before and parts.number == at:
            raise AuditUnavailable("stopped")
        keep(parts)
        if parts.number == at + 1:
            raise AuditUnavailable("stopped")

    return kept


def test_an_attempt_that_ends_anywhere_leaves_nothing_or_a_whole_package(
    people: Callable[..., Person], log_of: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = people()
    monkeypatch.setattr(building, "PART_BYTES", 1)
    started = person.asked()
    keep = building._Parts._keep
    for at, before in ((0, True), (0, False), (1, True), (1, False)):
        with monkeypatch.context() as one:
            one.setattr(building._Parts, "_keep", stopping(keep, at, before=before))
            assert build_exports(person.vault, person.controller_id) == 0
        assert person.progress(started).state == "building"
        with pytest.raises(Conflict):
            person.fetched(started)
        log_of().owner(f"UPDATE vault.export SET leased_until = NULL WHERE export_id = '{started.export_id}'")
    assert build_exports(person.vault, person.controller_id) == 1
    assert log_of().rows("vault.export_part", f"export_id = '{started.export_id}'", "DISTINCT attempt") == [(5,)]
    assert "data/profile.json" in read(person.fetched(started))


def test_only_the_latest_attempt_becomes_the_export(
    people: Callable[..., Person], log_of: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = people()
    started = person.asked()
    monkeypatch.setattr(building, "pack_export", overtaken(pack_export, log_of()))
    assert build_exports(person.vault, person.controller_id) == 0
    assert person.progress(started).state == "building"


def overtaken(pack: Callable[..., Any], ledger: Ledger) -> Callable[..., Any]:
    def act(*given: Any) -> Any:
        packed = pack(*given)
        ledger.owner("UPDATE vault.export SET attempt = attempt + 1 WHERE state = 'building'")
        return packed

    return act


def test_who_lost_the_right_to_it_gets_none(people: Callable[..., Person], log_of: Callable[[], Ledger]) -> None:
    person = people()
    started = person.asked(person.officer())
    log_of().owner(f"UPDATE vault.ticket SET state = 'closed' WHERE subject_id = '{person.subject_id}'")
    assert build_exports(person.vault, person.controller_id) == 0
    assert person.progress(started).state == "failed"
    assert "failed" in log_of().outcomes("end_export")


KILLED = """
import os, sys
from pathlib import Path
from vault.opening import Addresses, assembled, open_keyring
from vault.operations import build_exports as building
from vault.settings import Settings
home, url, controller_id, at = sys.argv[1:]
settings = Settings(
    home=Path(home), token_issuer="https://issuer.example", jwks_url="http://127.0.0.1:1/jwks", unbound_systems=True
)
building.PART_BYTES = 1
keep, count = building._Parts._keep, iter(range(10_000))
def kept(self):
    keep(self)
    if next(count) == int(at):
        os.kill(os.getpid(), 9)
building._Parts._keep = kept
with assembled(settings, Addresses(url, None), open_keyring(settings)) as opened:
    building.build_exports(opened.vault, controller_id)
"""


@pytest.fixture
def killed(opened: Opened) -> Callable[[str, int], int]:
    """Run the job in a process of its own that is killed once it has kept so many parts; return its exit status."""

    def run(controller_id: str, at: int) -> int:
        given = (str(opened.vault.settings.home), opened.addresses.url, controller_id, str(at))
        return subprocess.run([sys.executable, "-c", KILLED, *given], check=False, timeout=60, capture_output=True).returncode

    return run


def test_a_process_that_is_killed_leaves_nothing_and_the_next_one_makes_it(
    people: Callable[..., Person], log_of: Callable[[], Ledger], killed: Callable[[str, int], int]
) -> None:
    person = people()
    started = person.asked()
    assert killed(person.controller_id, 0) == -9
    assert person.progress(started).state == "building"
    assert len(log_of().rows("vault.export_part", f"export_id = '{started.export_id}'")) == 1
    assert build_exports(person.vault, person.controller_id) == 0  # its lease runs still
    late = replace(person.vault, now=lambda: person.vault.now() + building.LEASE)
    assert build_exports(late, person.controller_id) == 1
    assert "data/profile.json" in read(person.fetched(started))
