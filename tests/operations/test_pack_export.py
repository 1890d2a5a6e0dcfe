"""A person takes their data away whole, with who looked and what proves it; nothing else, and nothing before it is on record."""

import csv
import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.makers import make_complete_subject, make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from tests.publishers import describe
from vault.assembly import Vault
from vault.audit import offline
from vault.errors import AccessDenied, NotFound, Unreadable, VaultError
from vault.exports.manifest import Set, checked_manifest, differences, digest_of
from vault.notes import VerifierKey
from vault.opening import Opened
from vault.operations import pack_accesses
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.noticing import Given
from vault.operations.pack_export import Order, Packed, pack_export
from vault.operations.restrict import restrict
from vault.operations.serve_notice import serve_notice
from vault.operations.signing import document_key
from vault.operations.sourcing import Sourced, source_rows
from vault.policy.model import Context
from vault.sources import add as add_sources

CANARY = "Zanzibarù"


def files_of(package: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package)) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name) for name in packed.namelist()}


class Desk:
    """A customer with a value in every field, and what they take away."""

    def __init__(self, opened: Opened, controller_id: str) -> None:
        self.vault, self.controller_id = opened.vault, controller_id
        register(self.vault, controller_id, "t1", "dsr-officer", "system")
        self.subject_id = make_complete_subject(self.vault, controller_id, "health-insurance", family_name=CANARY)
        make_ticket(self.vault, controller_id, self.subject_id, "t1", "TCK-1")
        make_ticket(self.vault, controller_id, self.subject_id, "dsr-officer", "TCK-2")
        with self.vault.database.transaction(controller_id) as rows:
            stated = {"email": Sourced("agency")}
            add_sources(
                rows, controller_id, source_rows(self.vault, controller_id, self.subject_id, 1, stated, "ent_x", self.vault.now())
            )
        describe(opened.vault.settings, controller_id)
        serve_notice(self.vault, make_context(controller_id, "system"), self.subject_id, Given("customers", None, "it"))
        disclose(self.vault, Ask(make_context(controller_id, "t1", ticket="TCK-1"), self.subject_id, ("email", "family_name")))

    def own(self, level: int = 3) -> Context:
        own = make_context(self.controller_id, "customer", subject_id=self.subject_id)
        return replace(own, caller=replace(own.caller, level=level))

    def packed(self, context: Context | None = None, which: Set = "access", subject_id: str | None = None) -> tuple[bytes, Packed]:
        made, said = bytearray(), list[tuple[int, int]]()
        order = Order(context or self.own(), subject_id or self.subject_id, which, "it")
        packed = pack_export(self.vault, order, made.extend, lambda done, total: said.append((done, total)))
        assert said == sorted(said)
        assert said[0][0] == 0
        assert said[-1][0] <= said[-1][1]
        return bytes(made), packed

    def key(self) -> VerifierKey:
        return document_key(self.vault, self.controller_id)


@pytest.fixture(scope="module")
def desk(opened: Opened, shared_controllers: Callable[[], str]) -> Desk:
    return Desk(opened, shared_controllers())


@pytest.fixture(scope="module")
def files(desk: Desk) -> dict[str, bytes]:
    return files_of(desk.packed()[0])


def fields(files: dict[str, bytes], name: str) -> list[str]:
    return [one["field"] for one in json.loads(files[name])]


def test_every_field_with_a_value_is_in_the_profile_or_withheld_once(desk: Desk, files: dict[str, bytes]) -> None:
    named = fields(files, "data/profile.json") + fields(files, "info/withheld.json")
    read = disclose(desk.vault, Ask(desk.own(), desk.subject_id, tuple(desk.vault.catalogue.fields), "profile"))
    shown = {name for name, one in read.fields.items() if one.state in ("clear", "masked")}
    assert len(named) == len(set(named))
    assert set(fields(files, "data/profile.json")) == shown
    assert {"support_note", "verification_phrase"} <= set(fields(files, "info/withheld.json"))
    every = set(desk.vault.catalogue.fields)
    absent = {name for name, one in read.fields.items() if one.state == "absent"}
    assert set(named) | absent | {"aml_note"} == every


def test_what_the_law_keeps_from_the_person_is_in_no_file(files: dict[str, bytes]) -> None:
    assert [name for name, octets in files.items() if b"segnalata a marzo" in octets] == []
    naming = {name for name, octets in files.items() if b"aml_note" in octets}
    assert all(name.endswith(".jsonld") for name in naming)  # the terms everybody agrees to leave it out by name, held or not


def test_a_card_stays_masked_and_is_not_portable(files: dict[str, bytes]) -> None:
    told = {one["field"]: one for one in json.loads(files["data/profile.json"])}
    assert (told["card"]["mask"] is not None, b"411111" in files["data/profile.json"]) == (True, False)
    assert "card" not in fields(files, "data/portability.json")


def test_derived_data_are_not_portable(desk: Desk) -> None:
    subset = files_of(desk.packed(which="portability")[0])
    origins = {one["origin"] for one in json.loads(subset["data/portability.json"])}
    assert origins <= {"provided", "observed"}
    assert "data/profile.json" not in subset
    assert not [name for name in subset if name.startswith("accesses/")]
    codes = {one["field"]: one["code"] for one in json.loads(subset["info/withheld.json"])}
    assert codes["card"] == "not-portable"


def test_the_manifest_is_signed_and_names_every_file(desk: Desk, files: dict[str, bytes]) -> None:
    said = checked_manifest(files["manifest.note"], desk.key())
    assert files["manifest.note"].startswith(files["manifest.json"] + b"\n\n")
    found = {name: digest_of(octets) for name, octets in files.items() if name not in ("manifest.json", "manifest.note")}
    assert differences(said, found) == []
    assert differences(said, found | {"data/profile.json": digest_of(b"x")}) == ["data/profile.json"]
    assert said["fields"] == {
        "exported": len(json.loads(files["data/profile.json"])), "withheld": len(json.loads(files["info/withheld.json"])),
    }  # fmt: skip
    assert (said["set"], said["request_id"], said["policy"]) == ("access", "req-test", desk.vault.policy.digest)


def test_who_looked_is_checked_without_the_vault(
    desk: Desk, files: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, octets in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(octets)
    checkpoint = files["accesses/checkpoint"].decode()
    vkey = VerifierKey(checkpoint.split("\n")[0], desk.vault.signing.checkpoint_key)
    documents = f"{desk.key().name} {offline_key(desk)}"
    assert offline.main(["report", str(tmp_path), "--key", vkey.text, "--document-key", documents]) == 0, capsys.readouterr()
    accesses = json.loads(files["accesses/accesses.json"])["accesses"]
    operations = [one["operation"] for one in accesses]
    assert operations[-2:] == ["export", "show_accesses"]
    assert "disclose" in operations
    assert {name.split("/")[-1].removesuffix(".tlog-proof") for name in files if "/proofs/" in name} == {
        one["entry_id"] for one in accesses
    }
    rows = list(csv.DictReader(io.StringIO(files["accesses/accesses.csv"].decode("utf-8-sig"))))
    assert [one["entry_id"] for one in rows] == [one["entry_id"] for one in accesses]


def offline_key(desk: Desk) -> str:
    return b64encode(desk.vault.signing.document_key).decode()


def test_recipients_are_those_who_were_shown_something(files: dict[str, bytes]) -> None:
    (told,) = json.loads(files["info/recipients.json"])
    assert (told["recipient"], told["times"], told["fields"]) == ("helpdesk", 1, ["email", "family_name"])
    assert told["categories"] == ["pd:EmailAddress", "pd:Name"]


def test_the_notices_the_person_was_given_are_listed(files: dict[str, bytes]) -> None:
    (told,) = json.loads(files["info/notices.json"])
    assert (told["notice"], told["version"], told["language"], told["channel"]) == ("customers", 1, "it", "api")


def test_a_value_from_others_names_its_source(files: dict[str, bytes]) -> None:
    told = {one["field"]: (one["origin"], one["source"]) for one in json.loads(files["data/profile.json"])}
    assert told["email"] == ("third-party", "agency")
    assert told["mobile"] == ("provided", None)
    assert "email" not in fields(files, "data/portability.json")


def test_agreements_come_with_text_history_and_receipts(files: dict[str, bytes]) -> None:
    told = [json.loads(octets) for name, octets in files.items() if name.endswith(".jsonld")]
    (one,) = [one for one in told if one["vault:template"] == "health-insurance@1"]
    assert [event["kind"] for event in one["vault:history"]] == ["given"]
    assert [receipt["dct:identifier"] for receipt in one["vault:receipts"]] == [f"{one['@id'].rsplit('/', 1)[1]}/1"]
    assert digest_of(files[one["vault:text"]])[1].hex() == one["vault:textSha256"]


def test_processing_is_told_of_this_controller(files: dict[str, bytes]) -> None:
    told = json.loads(files["info/processing.json"])
    assert told["controller"]["name"]
    assert told["purposes"]["agreements"][0]["purposes"]


def test_a_restriction_does_not_stop_the_person(desk: Desk) -> None:
    officer = make_context(desk.controller_id, "dsr-officer", ticket="TCK-2")
    restrict(desk.vault, officer, desk.subject_id, "unlawful", ["family_name"])
    told = {one["field"]: one["value"] for one in json.loads(files_of(desk.packed()[0])["data/profile.json"])}
    assert told["family_name"] == CANARY


def test_the_officer_packs_what_the_person_asked_for_and_the_support_note(desk: Desk) -> None:
    officer = make_context(desk.controller_id, "dsr-officer", ticket="TCK-2")
    assert "support_note" in fields(files_of(desk.packed(officer)[0]), "data/profile.json")


@pytest.mark.parametrize("role", ["t1", "dsr-officer"])
def test_nobody_else_packs_anything(vault: Vault, ledger: Ledger, controller_id: str, role: str) -> None:
    register(vault, controller_id, "t1", "dsr-officer", "system")
    made = make_subject(vault, controller_id, {"given_name": CANARY})
    written: list[bytes] = []
    order = Order(make_context(controller_id, role), made.subject_id, "access", "it")
    with pytest.raises(NotFound):
        pack_export(vault, order, written.append, lambda *_: None)
    assert written == []
    assert ledger.outcomes("export") == ["refused"]


def test_health_data_are_taken_away_by_who_proved_more(desk: Desk) -> None:
    with pytest.raises(AccessDenied) as refusal:
        desk.packed(desk.own(level=2))
    assert refusal.value.code == "level-needed"
    assert refusal.value.entry_id is not None


def test_without_a_record_nothing_is_read(desk: Desk) -> None:
    written: list[bytes] = []
    closed = replace(desk.vault, audit=Refusing())  # type: ignore[arg-type]  # what cannot record
    with pytest.raises(VaultError):
        pack_export(closed, Order(desk.own(), desk.subject_id, "access", "it"), written.append, lambda *_: None)
    assert written == []


def test_stretches_join_without_a_gap_and_one_that_lacks_an_entry_is_caught(
    vault: Vault, ledger: Ledger, controller_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(vault, controller_id, "t1", "system")
    made = make_subject(vault, controller_id, {"given_name": CANARY})
    make_ticket(vault, controller_id, made.subject_id, "t1", "TCK-1")
    for _ in range(4):
        disclose(vault, Ask(make_context(controller_id, "t1", ticket="TCK-1"), made.subject_id, ("given_name",)))
    own = make_context(controller_id, "customer", subject_id=made.subject_id)
    order = Order(own, made.subject_id, "access", "en")
    for at_once in (1, 2, 500):
        monkeypatch.setattr(pack_accesses, "AT_ONCE", at_once)
        package = bytearray()
        pack_export(vault, order, package.extend, lambda *_: None)
        accesses = json.loads(files_of(bytes(package))["accesses/accesses.json"])["accesses"]
        evidence = json.loads(files_of(bytes(package))["accesses/evidence.json"])["entries"]
        assert [one["entry_id"] for one in accesses] == [one["entry_id"] for one in evidence]
        assert [one["operation"] for one in accesses].count("disclose") == 4
    ledger.owner(
        f"DELETE FROM vault.audit_lookup WHERE controller_id = '{controller_id}' AND entry_id = '{accesses[2]['entry_id']}'"
    )
    monkeypatch.setattr(pack_accesses, "AT_ONCE", 2)
    with pytest.raises(Unreadable):
        pack_export(vault, order, package.extend, lambda *_: None)


class Refusing:
    """A recorder that cannot record."""

    def record(self, *_: Any) -> None:
        raise NotFound("recorder")
