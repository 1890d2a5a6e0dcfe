"""What duties keep of a person, and until when: shared by whoever erases and by retention."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import orjson

from vault.agreements.retention import Ended, Kept, kept_by, rules_of
from vault.assembly import Vault


def duties_of(vault: Vault, controller_id: str, agreements: Sequence[Ended], waits: Collection[str]) -> dict[str, Kept]:
    """Return what each duty keeps that holds a key without opening it; those of templates nobody knows are left out."""
    zone = vault.controller(controller_id).zone
    companions: Mapping[str, Collection[str]] = {name: one.companions for name, one in vault.templates.items()}
    return {
        one.agreement_id: kept_by(
            one, rules_of(orjson.loads(vault.policy.terms_document(one.template))), agreements, companions, zone
        )
        for one in agreements
        if one.agreement_id in waits and one.template in vault.templates
    }


def all_ended(agreements: Iterable[Ended], at: datetime) -> list[Ended]:
    """Return agreements as they are once everything has ended now: the erased have none in force."""
    return [one if one.dormant or one.ended_at is not None else replace(one, ended_at=at) for one in agreements]
