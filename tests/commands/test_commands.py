"""What an operator types: each command says what it did, in words or as one JSON document, and ends 1 when it could not."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from tests.conftest import Controllers
from tests.makers import make_context, make_subject
from vault.__main__ import app
from vault.audit.checkpoint import origin
from vault.audit.entry import Draft
from vault.audit.receipts import PROMISED_MS, Receipt, receipt_message
from vault.connectors.demo_issuer import run_demo_issuer
from vault.notes import VerifierKey
from vault.opening import Opened
from vault.operations.open_request import Asked, open_request
from vault.operations.promise import promise

runner = CliRunner()
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def environment(database_url: str, keyring_home: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a command: the shared database and keyring."""
    monkeypatch.setenv("RISERBO_DATABASE_URL", database_url)
    monkeypatch.setenv("RISERBO_DATABASE_ADMIN_URL", database_url)
    monkeypatch.setenv("RISERBO_HOME", str(keyring_home))


@pytest.mark.usefixtures("environment")
def test_migrate_can_be_repeated() -> None:
    done = runner.invoke(app, ["migrate", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"migrated": True}


@pytest.mark.usefixtures("environment")
def test_a_controller_is_created_once(opened: Opened) -> None:
    name = opened.vault.new_id("ctl")
    made = runner.invoke(app, ["controllers", "add", name])
    assert (made.exit_code, made.stderr) == (0, f"Controller {name} is created.\n")
    again = runner.invoke(app, ["controllers", "add", name, "--json"])
    assert again.exit_code == 1
    assert json.loads(again.stdout)["error"] == "controller-exists"


@pytest.mark.usefixtures("environment")
def test_a_controller_that_makes_no_sense_is_refused_by_member() -> None:
    refused = runner.invoke(app, ["controllers", "add", "Not A Name", "--zone", "Mars/Olympus", "--languages", "xx", "--json"])
    assert refused.exit_code == 1
    assert [one["pointer"] for one in json.loads(refused.stdout)["errors"]] == ["/controller_id", "/zone", "/languages"]


@pytest.mark.usefixtures("environment")
def test_import_ends_with_its_counts_and_repeats_as_unchanged(controller_id: str) -> None:
    key = json.loads((SAMPLES / "crm_it.key.json").read_text())
    line = ["import", str(SAMPLES / "crm_it.csv"), "--mapping", str(SAMPLES / "crm_it.mapping.yaml"), "-c", controller_id]
    first = json.loads(runner.invoke(app, [*line, "--json"]).stdout)
    assert (first["accepted"], first["refused"], first["unchanged"]) == (key["accepted"], key["refused"], 0)
    assert first["refused_by_code"] == key["refused_by_code"]
    said = runner.invoke(app, line)
    assert said.exit_code == 0
    assert f"{key['accepted']} unchanged" in said.stderr


@pytest.mark.usefixtures("environment")
def test_a_controller_must_be_named_when_there_are_several(controllers: Controllers) -> None:
    controllers(), controllers()
    refused = runner.invoke(app, ["audit", "verify", "--json"])
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["errors"][0]["pointer"] == "--controller"
    unknown = runner.invoke(app, ["audit", "verify", "-c", "nobody", "--json"])
    assert json.loads(unknown.stdout)["error"] == "controller-not-found"


@pytest.mark.usefixtures("environment")
def test_a_trail_is_verified_and_a_false_checkpoint_is_not(opened: Opened, controller_id: str, tmp_path: Path) -> None:
    added = runner.invoke(app, ["callers", "add", "agent-7", "--role", "t1", "-c", controller_id, "--json"])
    assert added.exit_code == 0, added.output
    verified = runner.invoke(app, ["audit", "verify", "-c", controller_id, "--json"])
    document = json.loads(verified.stdout)
    assert document["ok"], document
    assert document["size"] > 0
    note = tmp_path / "note"
    note.write_text("not a checkpoint")
    assert runner.invoke(app, ["audit", "verify", "-c", controller_id, "--against", str(note)]).exit_code == 1


@pytest.mark.usefixtures("environment")
def test_a_trail_without_a_mac_a_shorter_one_and_an_empty_one_end_1(opened: Opened, controller_id: str) -> None:
    opened.trail.settle(controller_id)
    entries = "vault.audit_entry WHERE controller_id = %(controller)s"
    last = f"DELETE FROM {entries} AND position = (SELECT max(position) FROM {entries})"
    bare = "UPDATE vault.audit_entry SET mac = '' WHERE controller_id = %(controller)s AND position = 0"
    for statements, checks, first_bad in (((bare, last), {"mac", "truncated"}, 0), ((f"DELETE FROM {entries}",), {"empty"}, 0)):
        with psycopg.connect(opened.addresses.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.encode(), {"controller": controller_id})
        found = runner.invoke(app, ["audit", "verify", "-c", controller_id, "--json"])
        document = json.loads(found.stdout.splitlines()[-1])
        assert (found.exit_code, document["first_bad"]) == (1, first_bad), document
        assert checks <= {one["check"] for one in document["findings"]}


@pytest.mark.usefixtures("environment")
def test_a_promised_entry_that_is_not_in_the_trail_fails_it(opened: Opened, controller_id: str) -> None:
    vault, noted = opened.vault, dict[str, bytes]()
    draft = Draft(entry_id=vault.new_id("ent"), operation="witness", outcome="done", kind="system")
    vault.audit.noting(noted).record(controller_id, draft)
    kept = promise(vault, controller_id, noted[draft.entry_id])
    name, minute_ago = origin(vault.settings.host, controller_id, 1), int(vault.now().timestamp() * 1000) - PROMISED_MS
    made_up = {
        at_ms: Receipt(at_ms, bytes(32), vault.signing.sign_receipt(receipt_message(name, bytes(32), at_ms))).text
        for at_ms in (minute_ago, minute_ago + PROMISED_MS)
    }

    def verified(*arguments: str) -> tuple[int, list[str], list[str]]:
        done = runner.invoke(app, ["audit", "verify", "-c", controller_id, "--json", *arguments])
        document = json.loads(done.stdout)
        return done.exit_code, [one["check"] for one in document["findings"]], document["not_checked"]

    assert kept is not None
    assert verified("--receipt", kept) == (0, [], [])
    assert verified("--receipt", kept, "--receipt", made_up[minute_ago]) == (1, ["receipt"], [])
    assert verified("--receipt", made_up[minute_ago + PROMISED_MS]) == (1, [], ["receipts"])
    assert verified("--receipt", kept[:-4] + "AAAA") == (1, ["receipt-signature"], [])
    key = VerifierKey(name, vault.signing.checkpoint_key).text
    assert verified("--key", key, "--receipt", kept) == (1, [], ["receipts"])


@pytest.mark.usefixtures("environment")
def test_callers_whose_roles_exclude_each_other_are_refused(controller_id: str) -> None:
    line = ["callers", "add", "agent-8", "--role", "t1", "--role", "dpo", "-c", controller_id]
    refused = runner.invoke(app, line)
    assert refused.exit_code == 1
    assert "--role: roles.unfit" in refused.stderr


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("stated", "option", "said"),
    [
        (["--role", "t9"], "--role", "break-glass-approver"),
        (["--role", "t1", "--region", "Italy"], "--region", "two capital letters"),
        (["--role", "t1", "--region", "it"], "--region", "two capital letters"),
        (["--role", "t1", "--training", "first-aid"], "--training", "gdpr-art9"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_may_be(controller_id: str, stated: list[str], option: str, said: str) -> None:
    refused = runner.invoke(app, ["callers", "add", "agent-8", "-c", controller_id, "--json", *stated])
    assert refused.exit_code == 1
    (fault,) = json.loads(refused.stdout)["errors"]
    assert fault["pointer"] == option
    assert said in fault["code"]
    assert "Italy" not in refused.output


@pytest.mark.usefixtures("environment")
def test_a_recipient_is_registered_changed_and_ended(controller_id: str) -> None:
    def ran(*line: str) -> tuple[int, dict[str, Any]]:
        done = runner.invoke(app, ["recipients", *line, "-c", controller_id, "--json"])
        return done.exit_code, json.loads(done.stdout)

    ground = ["--party", "helpdesk", "--contract", "DPA 1", "--contract-from", "2026-01-01"]
    code, made = ran("add", "zammad", *ground)
    assert (code, made["name"]) == (0, "zammad")
    assert ran("add", "zammad", *ground, "--subprocessor", "Hoster", "--days", "20")[1]["recipient_id"] == made["recipient_id"]
    code, refused = ran("add", "zammad", *ground, "--channel", "webhook")
    assert (code, [one["pointer"] for one in refused["errors"]]) == (1, ["--endpoint"])
    hooked = ran("add", "zammad", *ground, "--channel", "webhook", "--endpoint", "https://desk.example/hooks")[1]
    assert hooked["recipient_id"] == made["recipient_id"]
    keys = [ran("key", "zammad", *change)[1]["key"] for change in ([], [], ["--change"])]
    assert keys[0] == keys[1] != keys[2]
    assert keys[2].startswith("whsec_")
    assert ran("tell")[1] == {"made": 0, "sent": 0}
    assert ran("end", "zammad")[0] == 0
    assert ran("end", "nobody")[1]["error"] == "recipient-not-found"


@pytest.mark.usefixtures("environment")
def test_the_records_of_processing_are_written_once(controller_id: str, tmp_path: Path) -> None:
    printed = runner.invoke(app, ["processing", "-c", controller_id])
    assert (printed.exit_code, json.loads(printed.stdout)["@type"]) == (0, "dpv:ROPA")
    assert "1 to mend" in printed.stderr  # nobody described this controller
    line = ["processing", "-c", controller_id, "--format", "csv", "--out", str(tmp_path / "records.csv")]
    assert runner.invoke(app, line).exit_code == 0
    assert (tmp_path / "records.csv").read_bytes().startswith(b"\xef\xbb\xbfsection,")
    refused = runner.invoke(app, [*line, "--format", "pdf"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--format: format.unknown" in refused.stderr
    assert "--out: file.exists" in refused.stderr


@pytest.mark.usefixtures("environment")
def test_what_differs_from_records_written_before_is_told(controller_id: str, tmp_path: Path) -> None:
    before, line = tmp_path / "records.note", ["processing", "-c", controller_id, "--against"]
    assert runner.invoke(app, ["processing", "-c", controller_id, "--format", "note", "--out", str(before)]).exit_code == 0
    same = runner.invoke(app, [*line, str(before)])
    assert (same.exit_code, "recipient" in same.stderr) == (0, False)
    assert runner.invoke(app, ["recipients", "add", "zammad", "--party", "helpdesk", "-c", controller_id]).exit_code == 0
    told = runner.invoke(app, [*line, str(before)])
    assert "recipient zammad new\n" in told.stderr
    assert "error processor-without-agreement zammad new\n" in told.stderr
    assert "activity billing changed dpv:hasRecipient\n" in told.stderr
    assert "activity legal-claims" not in told.stderr
    refused = runner.invoke(app, [*line, str(tmp_path / "none")])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--against: records.unreadable" in refused.stderr


def test_a_keyring_is_made_once_for_a_database_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RISERBO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RISERBO_DATABASE_URL", "postgresql://elsewhere")
    made = json.loads(runner.invoke(app, ["keys", "init", "--json"]).stdout)
    assert Path(made["keyring"]).stat().st_mode & 0o077 == 0
    assert Path(made["credential"]).stat().st_mode & 0o077 == 0
    assert runner.invoke(app, ["keys", "init"]).exit_code == 1


@pytest.mark.parametrize(
    "line",
    [["doctor"], ["policy", "explain", "dec_x"], ["policy", "denials"], ["audit", "verify"], ["callers", "end", "x"], ["worker"]],
)
def test_nothing_is_made_in_a_home_without_a_vault(line: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("RISERBO_HOME", str(home))
    refused = runner.invoke(app, line)
    assert refused.exit_code == 1
    assert "vault-not-found" in refused.stderr
    assert f"no vault in {home}" in " ".join(refused.stderr.split())
    assert not home.exists()


@pytest.mark.usefixtures("environment")
def test_doctor_has_a_line_for_each_part() -> None:
    seen = runner.invoke(app, ["doctor", "--json"])
    names = {one["name"] for one in json.loads(seen.stdout)["checks"]}
    assert {"database", "migrations", "roles", "row security", "fsync", "key_service", "policy"} <= names
    assert "ok" in runner.invoke(app, ["doctor"]).stderr


@pytest.mark.usefixtures("environment")
def test_doctor_says_what_is_still_to_be_done(controller_id: str) -> None:
    todo = {one["name"]: one["note"] for one in json.loads(runner.invoke(app, ["doctor", "--json"]).stdout)["todo"]}
    assert {"RISERBO_TOKEN_ISSUER", "RISERBO_JWKS_URL"} <= todo.keys()
    assert todo["policy keys"].startswith("missing (")
    assert todo[f"receipts of {controller_id}"].startswith("controller-not-described (")
    assert "todo  RISERBO_JWKS_URL" in runner.invoke(app, ["doctor"]).stderr


def test_doctor_asks_for_a_controller_where_there_is_none(
    clone: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RISERBO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RISERBO_DATABASE_URL", clone())
    assert runner.invoke(app, ["keys", "init"]).exit_code == 0
    todo = {one["name"] for one in json.loads(runner.invoke(app, ["doctor", "--json"]).stdout)["todo"]}
    assert todo == {"RISERBO_TOKEN_ISSUER", "RISERBO_JWKS_URL", "controllers", "policy keys"}


@pytest.mark.usefixtures("environment")
def test_settings_are_shown_without_addresses_and_wrong_ones_by_name(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    shown = runner.invoke(app, ["config", "check", "--json"])
    assert database_url not in shown.stdout
    told = json.loads(shown.stdout)
    assert told["RISERBO_DATABASE_URL"] == "(set)"
    assert told["RISERBO_POLICY_KEYS"].endswith("/policy.keys")
    assert told["missing"] == ["RISERBO_TOKEN_ISSUER", "RISERBO_JWKS_URL"]
    assert "missing: RISERBO_JWKS_URL" in runner.invoke(app, ["config", "check"]).stderr
    monkeypatch.setenv("RISERBO_TOKEN_ISSUER", "https://id.example")
    assert json.loads(runner.invoke(app, ["config", "check", "--json"]).stdout)["missing"] == ["RISERBO_JWKS_URL"]
    monkeypatch.setenv("RISERBO_LANES", "many")
    wrong = runner.invoke(app, ["config", "check", "--json"])
    assert wrong.exit_code == 1
    assert json.loads(wrong.stdout)["errors"][0]["pointer"] == "RISERBO_LANES"
    assert "many" not in wrong.output


def test_a_demo_is_not_shown_by_another_s_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Seen failing with the port not looked at: whoever served there was asked, and answered 401."""
    monkeypatch.setenv("RISERBO_HOME", str(tmp_path))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        found = runner.invoke(app, ["demo", "--port", str(port)])
    assert (found.exit_code, "port-taken" in found.stderr, str(port) in found.stderr) == (1, True, True), found.stderr


def test_tokens_are_signed_only_while_the_demo_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RISERBO_HOME", str(tmp_path))
    refused = runner.invoke(app, ["token", "--role", "t1"])
    assert refused.exit_code == 1
    assert "set RISERBO_HOME" in refused.stderr
    with run_demo_issuer(tmp_path / "demo" / "issuer", "riserbo"):
        assert runner.invoke(app, ["token", "--role", "t1"]).stdout.count(".") == 2
        assert "token" in json.loads(runner.invoke(app, ["token", "--role", "dpo", "--json"]).stdout)
        assert runner.invoke(app, ["token", "--role", "nobody"]).exit_code == 1
        monkeypatch.setenv("RISERBO_HOME", str(tmp_path / "demo"))  # as the demo's own lines set it
        assert runner.invoke(app, ["token", "--role", "t1"]).stdout.count(".") == 2


def test_without_a_token_nobody_is_asked() -> None:
    refused = runner.invoke(app, ["profile", "sub_x", "--purpose", "customer-care", "--json"], input="\n")
    assert refused.exit_code == 1
    said = json.loads(refused.stdout)
    assert said == {"error": "token-missing", "errors": [{"pointer": "--token-file", "code": "no token on standard input"}]}


def test_a_profile_nobody_serves_is_an_error_in_words(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x.y.z")
    line = ["profile", "sub_x", "--purpose", "customer-care", "--token-file", str(token), "--url", "http://127.0.0.1:9"]
    refused = runner.invoke(app, line)
    assert refused.exit_code == 1
    assert "vault-unreachable" in refused.stderr


def test_every_command_explains_itself() -> None:
    names = ("demo", "serve", "worker", "migrate", "import", "profile", "token", "audit", "policy", "doctor", "config")
    for line in ([], *([name] for name in names)):
        shown = runner.invoke(app, [*line, "--help"])
        assert shown.exit_code == 0
        assert "Usage" in shown.output


@pytest.mark.usefixtures("environment")
def test_pruning_says_when_there_is_nothing_to_prune_and_keeps_two_years(controller_id: str, tmp_path: Path) -> None:
    line = ["audit", "prune", "-c", controller_id, "--archive", str(tmp_path), "--json", "--before"]
    nothing = runner.invoke(app, [*line, "2001-01-01"])
    assert (nothing.exit_code, json.loads(nothing.stdout)) == (0, {"pruned": False})
    refused = runner.invoke(app, [*line, "2200-01-01"])
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["errors"] == [{"pointer": "--before", "code": "kept-by-law"}]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("environment")
def test_a_trail_that_does_not_hold_is_not_pruned(controller_id: str, opened: Opened, tmp_path: Path) -> None:
    opened.trail.settle(controller_id)
    with psycopg.connect(opened.addresses.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE vault.audit_entry SET mac = '' WHERE controller_id = %s", (controller_id,))
    refused = runner.invoke(
        app, ["audit", "prune", "-c", controller_id, "--archive", str(tmp_path), "--json", "--before", "2001-01-01"]
    )
    assert (refused.exit_code, json.loads(refused.stdout)["error"]) == (1, "trail-not-verified")


@pytest.mark.usefixtures("environment")
def test_entries_are_exported_to_a_file_that_is_whole_or_not_there(controller_id: str, tmp_path: Path) -> None:
    out, line = tmp_path / "entries.jsonl", ["audit", "export-entries", "-c", controller_id, "--json"]
    done = runner.invoke(app, [*line, "--out", str(out)])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["bytes"] == out.stat().st_size
    assert out.stat().st_mode & 0o077 == 0
    written = [json.loads(one) for one in out.read_text().splitlines()]
    assert "writer-open" in {one["operation"] for one in written}
    assert not list(tmp_path.glob("*.part"))
    for refused, pointer in (
        (["--out", str(out)], "--out"),
        (["--out", str(tmp_path / "x"), "--from", "yesterday"], "--from"),
        (["--out", str(tmp_path / "x"), "--format", "xml"], "/format"),
        (["--out", str(tmp_path / "x"), "--from", "2026-02-01", "--to", "2026-01-01"], "/from"),
    ):
        answered = runner.invoke(app, [*line, *refused])
        assert answered.exit_code == 1
        assert json.loads(answered.stdout)["errors"][0]["pointer"] == pointer
    register = json.loads(runner.invoke(app, [*line, "--out", str(tmp_path / "x"), "--format", "garante"]).stdout)
    assert register["error"] == "not-a-bank"
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("environment")
def test_open_requests_are_listed_without_anybody(opened: Opened, controller_id: str) -> None:
    person = make_subject(opened.vault, controller_id, {"given_name": "Giulia"}).subject_id
    own = make_context(controller_id, "customer", subject_id=person, purpose="rights-fulfilment")
    made = open_request(opened.vault.governed(controller_id), own, person, Asked("access")).request
    asked = json.loads(runner.invoke(app, ["requests", "-c", controller_id, "--json"]).stdout)
    ((one,), overdue) = asked["requests"], asked["overdue"]
    assert (one["request_id"], one["kind"], one["due"], overdue) == (made.request_id, "access", made.base_due.isoformat(), 0)
    listed = runner.invoke(app, ["requests", "-c", controller_id])
    assert "1 open, 0 overdue" in listed.stderr
    assert person not in listed.output
