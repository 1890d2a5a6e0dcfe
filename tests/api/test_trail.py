"""The log as others check it, over HTTP: a foreign checker audits what is served, and nobody else is served it."""

import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import psycopg
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from tests.api.desk import Desk
from tests.api.issuer import Held, published
from tests.assurance.desk import Desk as AtDesk
from tests.audit import foreign
from tests.conftest import Controllers
from tests.makers import EVERYTHING, make_subject, make_ticket, register
from vault.audit.entry import Draft
from vault.audit.reading import ReadEntry
from vault.audit.records import head
from vault.opening import Opened

FOREVER = "private, max-age=31536000, immutable"
NO_ENTRY = "ent_" + "z" * 26


def code(answer: Any) -> str:
    return str(answer.json()["type"]).rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Served:
    """A controller's log of more than 256 entries, signed, and whoever calls for it."""

    desk: Desk
    opened: Opened
    subject_id: str
    read: str  # an entry about them, sequenced and signed

    @property
    def prefix(self) -> str:
        return f"/audit/{self.desk.controller_id}/1"

    @property
    def name(self) -> str:
        return f"localhost{self.prefix}"

    @property
    def key(self) -> bytes:
        """The log's public key, as it is published."""
        found = self.desk.client.get("/.well-known/riserbo").json()["audit"]
        assert found["name"].format(controller=self.desk.controller_id, era=1) == self.name
        return b64decode(found["public_key"])

    def office(self, path: str, **stated: Any) -> Any:
        """Call as the officer, with a token and nothing else."""
        token = self.desk.headers("dpo")["Authorization"]
        return self.desk.client.get(path, headers={"Authorization": token, **stated})

    def fetch(self, prefix: str) -> foreign.Fetch:
        def body(path: str) -> bytes:
            answer = self.office(f"{prefix}/{path}")
            assert answer.status_code == 200, (path, answer.text)
            return bytes(answer.content)

        return body

    def size(self) -> int:
        """How many entries have their position."""
        with self.opened.vault.database.snapshot(self.desk.controller_id) as rows:
            return head(rows, self.desk.controller_id).size

    def sequence(self, beyond: int) -> None:
        """Give what waits its position, and sign nothing."""
        ends_at = time.monotonic() + 10
        while self.size() <= beyond:
            assert time.monotonic() < ends_at
            self.opened.trail._sequencer.run_once(self.desk.controller_id)

    def settle(self) -> None:
        self.opened.trail.settle(self.desk.controller_id)

    def entries(self, operation: str) -> list[dict[str, Any]]:
        """Return the leaves of an operation, pending ones sequenced first."""
        self.settle()
        with psycopg.connect(self.opened.addresses.url) as owner:
            found = owner.execute(
                "SELECT leaf FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", (self.desk.controller_id,)
            )
            return [leaf for leaf in (orjson.loads(bytes(one)) for (one,) in found) if leaf["operation"] == operation]

    @contextmanager
    def altered(self, altering: str, mending: str) -> Iterator[None]:
        """Change rows as the owner of everything, triggers off, until the block ends."""
        with psycopg.connect(self.opened.addresses.url, autocommit=True) as owner:
            owner.execute("SET session_replication_role = replica")
            owner.execute(altering.encode())
            try:
                yield
            finally:
                owner.execute(mending.encode())


@pytest.fixture(scope="module")
def served(client: TestClient, opened: Opened, shared_controllers: Controllers) -> Served:
    controller_id = shared_controllers()
    vault = opened.vault
    register(vault, controller_id, "t1", "t2", "dpo", "system", "operator")
    desk = Desk(client, vault, controller_id)
    person = make_subject(vault, controller_id, {name: EVERYTHING[name] for name in ("given_name", "email")}).subject_id
    make_ticket(vault, controller_id, person, "t1")
    read = desk.profile("t1", person).headers["Vault-Entry"]
    drafts = [Draft(entry_id=vault.new_id("ent"), operation="witness", outcome="done", kind="system") for _ in range(300)]
    vault.audit.record_all(controller_id, drafts)
    opened.trail.settle(controller_id)
    return Served(desk, opened, person, read)


@pytest.fixture
def opened_entry_of(served: Served) -> Callable[[Any], ReadEntry]:
    """Return the entry an answer names, as an officer reads it."""
    return AtDesk(None, None, served.opened, served.desk.controller_id).entry_of  # type: ignore[arg-type]  # nobody calls


# --- a foreign checker


def test_a_foreign_checker_audits_the_whole_log_as_it_is_served(served: Served) -> None:
    served.settle()
    for prefix in (served.prefix, "/v1/audit"):
        point, entries = foreign.check_log(served.fetch(prefix), served.name, served.key)
        assert point.size == len(entries) > 256
        assert {orjson.loads(one)["operation"] for one in entries} >= {"writer-open", "policy:activated", "disclose", "witness"}


def test_every_tree_to_130_entries_is_served_as_a_foreign_checker_makes_it_of_the_entries(served: Served) -> None:
    fetch = served.fetch(served.prefix)
    leaves = foreign.Leaves([foreign.leaf_digest(one) for one in foreign.fetch_entries(fetch, 130)])
    points = [foreign.Checkpoint(served.name, size, leaves.mth(0, size)) for size in range(131)]
    for size in range(1, 131):
        foreign.check_tiles(fetch, leaves, size)
        for old in {size // 2, size - 1}:
            lines = served.office(f"/v1/audit/consistency?from={old}&to={size}")
            foreign.check_consistency(points[old], points[size], lines.text)
    signed = foreign.read_note(fetch("checkpoint").decode(), served.name, served.key)
    for old in range(0, 131, 7):
        foreign.check_consistency(points[old], signed, served.office(f"/v1/audit/consistency?from={old}").text)


def test_an_entry_s_proof_is_taken_by_a_foreign_checker_and_for_no_other_entry(served: Served) -> None:
    fetch = served.fetch(served.prefix)
    size = foreign.read_note(fetch("checkpoint").decode(), served.name, served.key).size
    entries = foreign.fetch_entries(fetch, size)
    numbers = {orjson.loads(one)["id"]: number for number, one in enumerate(entries)}
    for entry_id, number in [*numbers.items()][:: max(1, size // 20)]:
        answer = served.desk.call("GET", f"/v1/audit/proofs/{entry_id}", "dpo")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8"), answer.text
        assert foreign.check_proof(answer.text, entries[number], served.name, served.key) == number
        with pytest.raises(foreign.Refused):
            foreign.check_proof(answer.text, entries[number - 1], served.name, served.key)


# --- forms


def test_only_what_can_never_change_may_be_kept(served: Served) -> None:
    kept = {
        "tile/0/000": FOREVER, "tile/entries/000": FOREVER, "tile/0/000.p/255": "no-store", "tile/entries/000.p/1": "no-store",
        "tile/1/000.p/1": "no-store", "checkpoint": "no-store",
    }  # fmt: skip
    for prefix in (served.prefix, "/v1/audit"):
        told = {path: served.office(f"{prefix}/{path}").headers for path in kept}
        assert {path: one["Cache-Control"] for path, one in told.items()} == kept
        assert {one["Content-Type"] for path, one in told.items() if path != "checkpoint"} == {"application/octet-stream"}
        assert told["checkpoint"]["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "place",
    [
        *("0/1", "0/0000", "00/000", "64/000", "0/x000/000", "0/000.p/0", "0/000.p/256", "0/000.p/x", "entries/1", "giulia/000"),
        *("0/002", "0/001.p/255", "1/001", "2/000.p/1", "63/000.p/1", "entries/x999/999", "0/x999/x999/x999/999.p/1"),
    ],
)
def test_what_is_no_tile_or_covered_by_no_checkpoint_is_not_found(served: Served, place: str) -> None:
    for prefix in (served.prefix, "/v1/audit"):
        answer = served.office(f"{prefix}/tile/{place}")
        assert (answer.status_code, code(answer)) == (404, "not-found")
        assert "giulia" not in answer.text


def test_nothing_that_is_not_signed_yet_is_served(served: Served) -> None:
    """What is not signed may be lost with its database; who fetched a tile keeps it for ever."""
    served.settle()
    size = served.size()
    served.desk.profile("t1", served.subject_id)
    index, width = divmod(size, 256)
    with served.opened.state.holding():  # else the signer might come round
        served.sequence(size)
        beyond = [served.office(f"/v1/audit/tile/{level}/00{index}.p/{width + 1}").status_code for level in ("0", "entries")]
        assert beyond == [404, 404]
        assert served.office(f"/v1/audit/consistency?from=1&to={size + 1}").status_code == 404
    served.settle()
    assert served.office(f"/v1/audit/tile/0/00{index}.p/{width + 1}").status_code == 200


@pytest.mark.parametrize(
    ("query", "status", "wrong"),
    [
        ("", 400, "malformed"),
        ("?from=-1", 400, "malformed"),
        ("?from=x", 400, "malformed"),
        ("?from=5&to=4", 400, "malformed"),
        (f"?from=1&to={1 << 63}", 400, "malformed"),
        ("?from=999999", 404, "not-found"),
        ("?from=1&to=999999", 404, "not-found"),
    ],
)
def test_a_consistency_that_cannot_be_is_refused(served: Served, query: str, status: int, wrong: str) -> None:
    answer = served.office(f"/v1/audit/consistency{query}")
    assert (answer.status_code, code(answer)) == (status, wrong)


def test_nothing_is_to_be_proved_between_a_tree_and_itself(served: Served) -> None:
    assert [served.office(f"/v1/audit/consistency?from={old}&to=9").text for old in (0, 9)] == ["", ""]


# --- who


def test_a_checkpoint_is_everybody_s_unless_the_settings_say_otherwise(served: Served, opened: Opened) -> None:
    answer = served.desk.client.get(f"{served.prefix}/checkpoint")
    public = foreign.read_note(answer.text, served.name, served.key)
    assert public.size > 256
    for other in ("/audit/nobody-s/1/checkpoint", f"/audit/{served.desk.controller_id}/2/checkpoint", "/audit/Giulia/1/checkpoint"):
        missing = served.desk.client.get(other)
        assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/problem+json")
        assert "iulia" not in missing.text
    shut = replace(opened.vault, settings=opened.vault.settings.model_copy(update={"public_checkpoints": False}))
    with TestClient(create_app(shut, keys=Held((published("ES256"),)))) as client:
        refused = client.get(f"{served.prefix}/checkpoint")
        assert (refused.status_code, code(refused)) == (404, "not-found")
        token = served.desk.headers("dpo")["Authorization"]
        officer_s = foreign.read_note(
            client.get("/v1/audit/checkpoint", headers={"Authorization": token}).text, served.name, served.key
        )
        assert officer_s.size >= public.size  # other tests write to the same log


def test_guessing_names_of_controllers_opens_no_connection_for_them(served: Served, opened: Opened) -> None:
    assert served.desk.client.get("/audit/guessed-name/1/checkpoint").status_code == 404
    assert "guessed-name" not in opened.vault.database._pools


@pytest.mark.parametrize("role", ["t1", "system", "operator", "customer"])
def test_the_log_is_the_officer_s_alone_and_a_refusal_is_on_record(served: Served, role: str) -> None:
    subject_id = served.subject_id if role == "customer" else None
    paths = ["checkpoint", "tile/0/000", "tile/entries/000", "consistency?from=1"]
    paths = [f"/v1/audit/{path}" for path in paths] + [f"{served.prefix}/tile/0/000", f"{served.prefix}/tile/entries/000"]
    ids = []
    for path in paths:
        answer = served.desk.call("GET", path, role, subject_id=subject_id)
        assert (answer.status_code, code(answer)) == (403, "role"), (path, answer.text)
        ids.append(answer.headers["Vault-Entry"])
    refused = {one["id"]: one["outcome"] for verb in ("show_log", "log-export") for one in served.entries(verb)}
    assert [refused[one] for one in ids] == ["refused"] * len(paths)


def test_nobody_reads_a_tile_without_a_token(served: Served) -> None:
    for path in ("/v1/audit/checkpoint", "/v1/audit/tile/0/000", f"{served.prefix}/tile/0/000", f"/v1/audit/proofs/{served.read}"):
        assert served.desk.client.get(path).status_code == 401


def test_an_officer_nobody_registered_is_none(served: Served) -> None:
    stranger = {"Authorization": f"Bearer {served.desk.token('dpo', sub='dpo-9')}"}
    assert served.desk.client.get("/v1/audit/tile/0/000", headers=stranger).status_code == 403


def test_another_controller_s_log_is_not_found(served: Served, shared_controllers: Controllers) -> None:
    other = shared_controllers()
    for controller_id in (other, "nobody-s"):
        answer = served.office(f"/audit/{controller_id}/1/tile/entries/000.p/1")
        assert (answer.status_code, code(answer)) == (404, "not-found")
    assert served.office(f"/audit/{served.desk.controller_id}/2/tile/0/000.p/1").status_code == 404


# --- on record


def test_reading_entries_is_on_record_and_reading_digests_is_not(served: Served) -> None:
    before = len(served.entries("log-export")), len(served.entries("show_log"))
    answer = served.office("/v1/audit/tile/entries/000.p/7")
    for path in ("checkpoint", "tile/0/000.p/7", "consistency?from=3"):
        assert "Vault-Entry" not in served.office(f"/v1/audit/{path}").headers
    exports = served.entries("log-export")
    assert (len(exports), len(served.entries("show_log"))) == (before[0] + 1, before[1])
    last = exports[-1]
    assert (last["id"], last["count"], last["outcome"]) == (answer.headers["Vault-Entry"], 7, "done")
    assert (last["kind"], last["purpose"], "subject" in last) == ("dpo", "legal-compliance", False)


def test_a_proof_is_on_record_with_the_person_it_concerns(served: Served, opened_entry_of: Callable[[Any], Any]) -> None:
    proved = served.desk.call("GET", f"/v1/audit/proofs/{served.read}", "dpo")
    entry = opened_entry_of(proved)
    assert (entry.subject_id, entry.details["proved"]) == (served.subject_id, served.read)
    assert (entry.leaf["operation"], entry.leaf["kind"]) == ("prove", "dpo")


# --- proofs


def test_people_prove_what_concerns_them_and_nothing_else(served: Served) -> None:
    fetch = served.fetch(served.prefix)
    size = foreign.read_note(fetch("checkpoint").decode(), served.name, served.key).size
    entries = {orjson.loads(one)["id"]: one for one in foreign.fetch_entries(fetch, size)}
    own = served.desk.call("GET", f"/v1/audit/proofs/{served.read}", "customer", subject_id=served.subject_id)
    assert own.status_code == 200, own.text
    foreign.check_proof(own.text, entries[served.read], served.name, served.key)
    nobody_s = next(one for one, leaf in entries.items() if "subject" not in orjson.loads(leaf))
    for who, entry_id in (
        (NO_ENTRY.replace("ent_", "sub_"), served.read),
        (served.subject_id, nobody_s),
        (served.subject_id, NO_ENTRY),
    ):
        answer = served.desk.call("GET", f"/v1/audit/proofs/{entry_id}", "customer", subject_id=who)
        assert (answer.status_code, code(answer)) == (404, "not-found")
    for role in ("t1", "t2", "system", "operator"):  # whoever wrote it as well
        assert served.desk.call("GET", f"/v1/audit/proofs/{served.read}", role, ticket="TCK-1").status_code == 404
    assert served.desk.call("GET", f"/v1/audit/proofs/{NO_ENTRY}", "dpo").status_code == 404


def test_the_token_of_somebody_who_has_died_proves_nothing(served: Served) -> None:
    made = make_subject(served.desk.vault, served.desk.controller_id, {"given_name": "Anna"})
    make_ticket(served.desk.vault, served.desk.controller_id, made.subject_id, "t1", "TCK-9")
    read = served.desk.profile("t1", made.subject_id, "TCK-9").headers["Vault-Entry"]
    death = {"on": "2026-01-02", "evidence": "notary"}
    assert served.desk.call("PUT", f"/v1/subjects/{made.subject_id}/death", "dpo", death).status_code == 200
    served.settle()
    assert served.desk.call("GET", f"/v1/audit/proofs/{read}", "customer", subject_id=made.subject_id).status_code == 404
    assert served.desk.call("GET", f"/v1/audit/proofs/{read}", "dpo").status_code == 200


def test_an_entry_the_person_is_not_to_know_of_yet_is_not_theirs_to_prove_nor_told_of_in_their_chain(
    served: Served, opened_entry_of: Callable[[Any], Any]
) -> None:
    entry_id = served.desk.profile("t1", served.subject_id).headers["Vault-Entry"]
    served.settle()
    place = f"controller_id = '{served.desk.controller_id}' AND entry_id = '{entry_id}'"
    held, shown = (f"UPDATE vault.audit_detail SET stream = '{stream}' WHERE {place}" for stream in ("held", "open"))
    with served.altered(held, shown):
        answer = served.desk.call("GET", f"/v1/audit/proofs/{entry_id}", "customer", subject_id=served.subject_id)
        assert answer.status_code == 404
        proved = served.desk.call("GET", f"/v1/audit/proofs/{entry_id}", "dpo")
    assert proved.status_code == 200
    assert opened_entry_of(proved).subject_id is None


def test_before_a_checkpoint_covers_it_an_entry_is_not_proved_and_one_is_told_when_to_ask_again(served: Served) -> None:
    served.settle()
    size = served.size()
    entry_id = served.desk.profile("t1", served.subject_id).headers["Vault-Entry"]
    with served.opened.state.holding():
        served.sequence(size)
        answer = served.desk.call("GET", f"/v1/audit/proofs/{entry_id}", "dpo")
    assert (answer.status_code, code(answer), answer.headers["Retry-After"]) == (409, "entry-not-signed", "60")
    served.settle()
    assert served.desk.call("GET", f"/v1/audit/proofs/{entry_id}", "dpo").status_code == 200


# --- what somebody with the database may have changed


def newest(served: Served) -> tuple[int, str]:
    served.settle()
    with psycopg.connect(served.opened.addresses.url) as owner:
        found = owner.execute(
            "SELECT size, note FROM vault.audit_checkpoint WHERE controller_id = %s ORDER BY size DESC LIMIT 1",
            (served.desk.controller_id,),
        ).fetchone()
    assert found is not None
    return found


@pytest.mark.parametrize("change", ["body", "signature", "text"])
def test_no_altered_checkpoint_is_served_to_anybody(served: Served, change: str) -> None:
    """Public, it would be a way to the outside for whoever can write one row."""
    size, note = newest(served)
    others = {
        "body": note.replace(f"\n{size}\n", f"\n{size + 1}\n"),
        "signature": note[:-8] + "AAAA" + note[-4:],
        "text": "IT60X0542",
    }
    place = f"WHERE controller_id = '{served.desk.controller_id}' AND size = {size}"
    changes = [f"UPDATE vault.audit_checkpoint SET note = $riserbo${one}$riserbo$ {place}" for one in (others[change], note)]
    with served.altered(*changes):
        for answer in (
            served.desk.client.get(f"{served.prefix}/checkpoint"),
            served.office("/v1/audit/checkpoint"),
            served.office("/v1/audit/tile/0/000"),
            served.desk.call("GET", f"/v1/audit/proofs/{served.read}", "dpo"),
        ):
            assert (answer.status_code, code(answer)) == (500, "checkpoint-differs"), answer.text
            assert "IT60" not in answer.text
    assert served.desk.client.get(f"{served.prefix}/checkpoint").status_code == 200


def test_a_tile_that_was_altered_proves_nothing(served: Served) -> None:
    place = f"WHERE controller_id = '{served.desk.controller_id}' AND level = 0 AND idx = 0"
    flip = f"UPDATE vault.audit_tile SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40)) {place}"
    with served.altered(flip, flip):
        answer = served.desk.call("GET", f"/v1/audit/proofs/{served.read}", "dpo")
        assert (answer.status_code, code(answer)) == (500, "proof-differs")
        with pytest.raises(foreign.Refused):
            foreign.check_log(served.fetch(served.prefix), served.name, served.key)
    assert served.entries("prove")[-1]["outcome"] == "failed"


def test_a_tile_that_is_gone_is_not_found_and_proves_nothing(served: Served) -> None:
    moved = (
        f"UPDATE vault.audit_tile SET idx = {{}} WHERE controller_id = '{served.desk.controller_id}' AND level = 0 AND idx = {{}}"
    )
    with served.altered(moved.format(9_999, 0), moved.format(0, 9_999)):
        assert served.office("/v1/audit/tile/0/000").status_code == 404
        assert served.office("/v1/audit/consistency?from=3").status_code == 404
        assert code(served.desk.call("GET", f"/v1/audit/proofs/{served.read}", "dpo")) == "proof-differs"


def test_entries_that_are_gone_are_not_found_and_the_reading_is_on_record_as_failed(served: Served) -> None:
    first = f"controller_id = '{served.desk.controller_id}' AND position = 0"
    moved = f"UPDATE vault.audit_entry SET era = {{}} WHERE {first} AND era = {{}}"
    with served.altered(moved.format(9, 1), moved.format(1, 9)):
        assert served.office("/v1/audit/tile/entries/000").status_code == 404
    assert served.entries("log-export")[-1]["outcome"] == "failed"


def test_a_look_up_row_that_points_elsewhere_has_no_other_entry_proved(served: Served) -> None:
    with psycopg.connect(served.opened.addresses.url) as owner:
        found = owner.execute(
            "SELECT entry_id FROM vault.audit_lookup WHERE controller_id = %s AND operation = 'witness' ORDER BY position LIMIT 2",
            (served.desk.controller_id,),
        ).fetchall()
    (one,), (two,) = found
    swapped = "UPDATE vault.audit_lookup SET entry_id = CASE entry_id WHEN '{0}' THEN '{1}' ELSE '{0}' END"
    swapped = f"{swapped.format(one, two)} WHERE controller_id = '{served.desk.controller_id}' AND entry_id IN ('{one}', '{two}')"
    with served.altered(swapped, swapped):
        answer = served.desk.call("GET", f"/v1/audit/proofs/{one}", "dpo")
        assert (answer.status_code, code(answer)) == (500, "proof-differs")
