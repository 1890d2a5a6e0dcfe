"""What an agreement is made from is kept with it, in the transaction that makes it. Shared by all that make agreements."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from vault.agreements import kept
from vault.agreements.kept import WrittenOut
from vault.assembly import Vault


def keep_templates(
    vault: Vault, transaction: sa.Connection, controller_id: str, agreements: Iterable[Mapping[str, Any]], at: datetime
) -> None:
    """Keep the terms and texts of the templates these rows of agreements name.

    Raises Conflict (`template-changed`) where one of this name and version was agreed to in other words: a changed text is a new
    version, whatever the files say.
    """
    wanted = {(one["template_id"], one["template_version"]): one["template_digest"] for one in agreements}
    missing = kept.unkept(transaction, controller_id, wanted)
    for template_id, version in missing:
        reference = f"{template_id}@{version}"
        texts = {language: (sha256(text).digest(), text) for language, text in vault.policy.texts(reference).items()}
        written = WrittenOut(template_id, version, wanted[template_id, version], vault.policy.terms_document(reference), texts)
        kept.keep(transaction, controller_id, written, at)
    if missing:
        kept.unkept(transaction, controller_id, wanted)  # somebody may have been faster, with other words
