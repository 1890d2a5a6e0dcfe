"""A newer version of a text takes the place of the older: what was granted goes on under the new one, and the old key is gone."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from tests.makers import make_context, make_subject, terms
from tests.operations.conftest import Ledger
from tests.policy.makers import altered, relock, shipped_text
from vault.agreements.terms import Template
from vault.assembly import Vault
from vault.errors import Conflict
from vault.operations.agree import agree
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.enroll import AgreementTerms
from vault.operations.recheck_agreements import recheck_agreements
from vault.operations.show_agreements import show_agreements, show_history
from vault.operations.withdraw import withdraw
from vault.policy.bundle import load_bundle
from vault.policy.engine import Policy

VALUES = {"given_name": "Giulia", "email": "g@example.it", "preferred_language": "it"}
SECOND = "Testo nuovo.\n"


@pytest.fixture
def newer(vault: Vault, tmp_path: Path) -> Vault:
    """The vault with a second version of the consent to marketing, as the bundle that came later brings it."""
    second = shipped_text("agreements/marketing.v1.yaml").replace("version: 1", "version: 2").replace(".v1.", ".v2.")
    changes: dict[str, str | None] = {f"texts/marketing.v2.{language}.md": SECOND for language in ("it", "en")}
    directory = altered(tmp_path, {"agreements/marketing.v2.yaml": second, **changes})
    relock(directory)
    bundle = load_bundle(directory)
    templates = {reference: Template.of(document) for reference, document in bundle.templates.items()}
    return replace(vault, policy=Policy(bundle), templates=templates)


def second_terms(**said: str) -> AgreementTerms:
    made = terms("marketing", **said)
    return replace(made, evidence={**made.evidence, "text_sha256": sha256(SECOND.encode()).hexdigest()})


def test_the_newer_version_takes_the_older_one_s_place(newer: Vault, vault: Vault, controller_id: str, ledger: Ledger) -> None:
    person = make_subject(vault, controller_id, VALUES, ("marketing", "retail"))
    system = make_context(controller_id, "system", channel="phone")
    made = agree(newer, system, person.subject_id, second_terms())
    shown = {one.agreement_id: one for one in show_agreements(newer, system, person.subject_id).agreements}
    assert (shown[person.agreements[0]].status, shown[made.agreement_id].status) == ("superseded", "in_force")
    assert shown[person.agreements[1]].status == "in_force"  # another template is another matter
    assert [one.kind for one in show_history(newer, system, person.agreements[0]).events] == ["given", "superseded"]
    assert ledger.rows("vault.agreement", f"agreement_id = '{made.agreement_id}'", "supersedes") == [(person.agreements[0],)]
    assert made.version == 2
    marketing = make_context(controller_id, "system", purpose="marketing")
    read = disclose(newer, Ask(marketing, person.subject_id, ("email", "preferred_language")))
    assert (read.agreements, read.fields["preferred_language"].value) == ((made.agreement_id,), "it")
    assert read.fields["email"].state == "token"  # collected under the older version: this is its successor
    holders = {holder for (holder,) in ledger.rows("keys.data_key_wrap", columns="holder_id")}
    assert made.agreement_id in holders
    assert person.agreements[0] not in holders
    with pytest.raises(Conflict):
        withdraw(newer, system, person.agreements[0], {})
    assert recheck_agreements(newer, controller_id) == []
    assert "agreement:superseded" in {name for (name,) in ledger.rows("vault.event", columns="name")}


def test_what_the_older_version_alone_held_goes_on_under_the_newer(
    newer: Vault, vault: Vault, controller_id: str, ledger: Ledger
) -> None:
    person = make_subject(vault, controller_id, VALUES, ("marketing",))
    system = make_context(controller_id, "system", channel="phone")
    made = agree(newer, system, person.subject_id, second_terms())
    assert ledger.rows("keys.data_key", columns="class, generation, state") == [("contact", 1, "current")]
    assert ledger.rows("keys.data_key_wrap", columns="holder_id") == [(made.agreement_id,)]
    assert withdraw(newer, system, made.agreement_id, {}).emptied == ("contact",)


@pytest.mark.parametrize("how", ["the same version", "over already"])
def test_the_same_version_or_one_that_is_over_takes_nobody_s_place(
    newer: Vault, vault: Vault, controller_id: str, how: str
) -> None:
    person = make_subject(vault, controller_id, VALUES, ("marketing",))
    system = make_context(controller_id, "system", channel="phone")
    long_ago = (newer.now() - timedelta(days=1000)).isoformat(timespec="seconds")
    said = replace(terms("marketing"), version=1) if how == "the same version" else second_terms(indicated_at=long_ago)
    agree(newer, system, person.subject_id, said)
    shown = {one.agreement_id: one.status for one in show_agreements(newer, system, person.subject_id).agreements}
    assert shown[person.agreements[0]] == "in_force"
