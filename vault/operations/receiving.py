"""What verbs share about recipients: which names there are, and the terms of one now."""

from collections.abc import Mapping

from vault.assembly import Vault
from vault.operations.facts import terms_at
from vault.policy.model import PartyTerms
from vault.profiles.records import TermsRow
from vault.recipients import records


def recipient_names(vault: Vault, controller_id: str) -> frozenset[str]:
    """Return what an entry may say of who received something: parties of the policy, recipients on the register, the person."""
    with vault.database.snapshot(controller_id) as rows:
        return vault.policy.recipients | {"subject"} | records.recipients(rows, controller_id).keys()


def recipient_terms(vault: Vault, controller_id: str, name: str) -> PartyTerms | None:
    """Return the terms of a recipient on the register as they are now; None for one that is not."""
    with vault.database.snapshot(controller_id) as rows:
        one = records.recipients(rows, controller_id).get(name)
    if one is None:
        return None
    row = TermsRow(
        one.party, one.role, one.country, one.transfer_tool, one.contract_from, one.contract_until, one.ended_at is not None
    )
    return terms_at(row, vault.now())


def named_recipients(vault: Vault, controller_id: str) -> dict[str, tuple[Mapping[str, str], str]]:
    """Return what people are told of each recipient: its party's names by language, and the ground of a transfer."""
    known = {name: (one["labels"], one["transfer_tool"]) for name, one in vault.policy.parties.items()}
    with vault.database.snapshot(controller_id) as rows:
        found = records.recipients(rows, controller_id).values()
    return known | {one.name: (known.get(one.party, ({}, ""))[0], one.transfer_tool) for one in found}
