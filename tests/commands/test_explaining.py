"""`riserbo policy explain`: what was decided and by which policies, in words or as one document."""

import json

import pytest
from typer.testing import CliRunner

from tests.makers import make_context, make_subject, make_ticket, register
from vault.__main__ import app
from vault.errors import NotFound
from vault.opening import Opened
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask

runner = CliRunner()


@pytest.fixture
def environment(database_url: str, keyring_home: object, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISERBO_DATABASE_URL", database_url)
    monkeypatch.setenv("RISERBO_HOME", str(keyring_home))


@pytest.mark.usefixtures("environment")
def test_a_decision_is_explained_and_one_there_is_not_ends_in_one(opened: Opened, controller_id: str) -> None:
    vault = opened.vault
    register(vault, controller_id, "t1")
    person = make_subject(vault, controller_id, {"given_name": "Ada", "email": "ada@example.it"}).subject_id
    desk = make_context(controller_id, "t1", ticket=make_ticket(vault, controller_id, person, "t1"))
    decision_id = disclose(vault, Ask(desk, person, ("given_name", "email"))).decision_id
    line = ["policy", "explain", decision_id, "-c", controller_id]
    told = json.loads(runner.invoke(app, [*line, "--json"]).stdout)
    assert told["fields"]["email"] == {
        "state": "masked", "mask": "email_domain", "because": "support-t1-contact", "policies": ["t1-contact"],
        "agreement_id": told["agreements"][0]["agreement_id"], "blocked": told["fields"]["email"]["blocked"],
    }  # fmt: skip
    words = runner.invoke(app, line)
    assert words.exit_code == 0, words.output
    assert "email: masked email_domain" in words.stderr
    assert "Ada" not in words.output
    gone = runner.invoke(app, ["policy", "explain", "dec_" + "a" * 26, "-c", controller_id, "--json"])
    assert gone.exit_code == 1
    assert json.loads(gone.stdout)["error"] == "decision-not-found"
    odd = runner.invoke(app, ["policy", "explain", "Ada Neri", "-c", controller_id, "--json"])
    assert json.loads(odd.stdout)["errors"] == [{"pointer": "decision_id", "code": "malformed"}]


@pytest.mark.usefixtures("environment")
def test_an_act_that_decided_on_no_field_is_told_in_a_line(opened: Opened, controller_id: str) -> None:
    with pytest.raises(NotFound) as refusal:
        amend(opened.vault, make_context(controller_id, "t1", ticket="TCK-9"), "sub_" + "z" * 26, "agr_x", {"email": "x"}, 1)
    words = runner.invoke(app, ["policy", "explain", str(refusal.value.decision_id), "-c", controller_id])
    assert "amend, refused" in words.stderr
    assert "not-found" in words.stderr
