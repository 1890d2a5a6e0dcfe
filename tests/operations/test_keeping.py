"""The words people agreed to stay with their agreement: terms and texts, in each language, and nobody changes them."""

from dataclasses import replace
from hashlib import sha256

import pytest

from tests.makers import TEXTS, make_context, make_subject, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import Conflict
from vault.operations.agree import agree
from vault.operations.keeping import keep_templates

VALUES = {"given_name": "Giulia", "email": "g@example.it"}
KEPT = "template_id || '@' || template_version"


def test_terms_and_texts_are_kept_with_the_first_agreement(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    """The digest an agreement names and the hash its receipts name are those of what is kept; companions' are kept too."""
    make_subject(vault, controller_id, VALUES, ("retail", "marketing"))
    make_subject(vault, controller_id, VALUES, ("retail",))
    assert sorted(ledger.rows("vault.template", columns=KEPT)) == [("legal-obligation@1",), ("marketing@1",), ("retail@1",)]
    for reference, digest, document in ledger.rows("vault.template", columns=f"{KEPT}, digest, document"):
        assert sha256(document).digest() == digest == vault.templates[reference].digest
    texts = ledger.rows("vault.template_text", columns="template_id, template_version, language, sha256, text")
    assert len(texts) == 2 * 3
    for template, version, language, digest, text in texts:
        assert text == (TEXTS / f"{template}.v{version}.{language}.md").read_bytes()
        assert sha256(text).digest() == digest == vault.templates[f"{template}@{version}"].texts[language]
    for template, version, language, digest in ledger.rows(
        "vault.agreement", columns="template_id, template_version, text_language, text_sha256"
    ):
        where = f"template_id = '{template}' AND template_version = {version} AND language = '{language}'"
        assert ledger.rows("vault.template_text", where, "sha256") == [(digest,)]


def test_nobody_agrees_to_other_words_under_a_name_that_is_taken(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    """The files of this process say otherwise than those of the day when somebody agreed: a changed text is a new version."""
    person = make_subject(vault, controller_id, VALUES, ("retail", "marketing"))
    altered = replace(vault.templates["marketing@1"], digest=bytes(32))
    other = replace(vault, templates={**vault.templates, "marketing@1": altered})
    with pytest.raises(Conflict) as refusal:
        agree(other, make_context(controller_id, "system", channel="phone"), person.subject_id, terms("marketing"))
    assert refusal.value.code == "template-changed"
    assert len(ledger.rows("vault.agreement", "template_id = 'marketing'")) == 1
    assert ledger.outcomes("agree") == ["done", "failed"]


def test_whoever_is_faster_with_other_words_is_noticed(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    """Between looking and writing somebody keeps the same version in other words: on the second look they differ."""
    make_subject(vault, controller_id, VALUES, ("marketing",))
    row = {"template_id": "retail", "template_version": 1, "template_digest": vault.templates["retail@1"].digest}

    class Overtaken(type(vault.policy)):  # type: ignore[misc]
        """Spells a template out only after somebody else has kept it."""

        def terms_document(self, reference: str) -> bytes:
            ledger.owner(
                "INSERT INTO vault.template VALUES"
                rf" ('{controller_id}', 'retail', 1, '\x00', '\x00', now()) ON CONFLICT DO NOTHING"
            )
            document: bytes = super().terms_document(reference)
            return document

    overtaken = replace(vault, policy=Overtaken(vault.policy._bundle))
    with pytest.raises(Conflict), vault.database.transaction(controller_id) as transaction:
        keep_templates(overtaken, transaction, controller_id, [row], vault.now())
