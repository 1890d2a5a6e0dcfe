"""A running vault, as a value: what operations are functions of. Built by `opening.open_vault`, or by a test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog

from vault.agreements.receipts import Publisher
from vault.agreements.terms import Template
from vault.agreements.wording import Wording
from vault.audit.recorder import Recorder
from vault.database import Database
from vault.erasure.ledger import Ledger
from vault.errors import PolicyUnavailable
from vault.keys.controller_keys import ControllerKeys
from vault.notes import VerifierKey
from vault.policy.bundle import Bundle
from vault.policy.engine import Policy
from vault.profiles.catalogue import Catalogue
from vault.settings import Settings
from vault.tickets import TicketDirectory

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Controller:
    """One company: `zone` is where its days end, `languages` the languages of its texts."""

    controller_id: str
    zone: ZoneInfo
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signing:
    """What documents and receipts of entries are signed with, and the Ed25519 keys an outsider checks by: 32 bytes each.

    `witnesses` are those whose signatures of checkpoints count; theirs are kept and served beside ours.
    """

    sign_document: Callable[[bytes], bytes]  # 64 bytes; raises KeysUnavailable
    sign_receipt: Callable[[bytes], bytes]  # the same
    document_key: bytes
    checkpoint_key: bytes
    receipt_key: bytes
    witnesses: Sequence[VerifierKey] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """All that one bundle makes. A value: whoever holds it decides by it to the end, whatever comes into force meanwhile."""

    policy: Policy
    catalogue: Catalogue
    templates: Mapping[str, Template]  # by id@version
    wordings: Mapping[str, Wording]  # the same, spelt out for receipts

    @classmethod
    def of(cls, bundle: Bundle) -> "Rules":
        """Return the rules of a bundle. Raises ValueError or KeyError for one that this program cannot decide by."""
        templates = {reference: Template.of(document) for reference, document in bundle.templates.items()}
        return cls(
            policy=Policy(bundle, alarm=lambda code: log.error("policy_alarm", code=code)),
            catalogue=Catalogue.of(bundle.catalogue),
            templates=templates,
            wordings={
                reference: Wording.of(document, templates[reference].digest, bundle.vocabulary, bundle.catalogue, bundle.recipients)
                for reference, document in bundle.templates.items()
            },
        )


@dataclass(frozen=True, slots=True)
class Vault:
    """What a running vault is made of. `now` is aware UTC, `monotonic` seconds, `new_id("ent")` a fresh `ent_…`.

    Policy, catalogue, templates and wordings are those of one bundle: a request works with `governed(controller_id)` to its end.
    """

    settings: Settings
    database: Database
    keys: ControllerKeys
    policy: Policy
    catalogue: Catalogue
    templates: Mapping[str, Template]  # by id@version
    wordings: Mapping[str, Wording]  # the same, spelt out for receipts
    audit: Recorder
    tickets: TicketDirectory
    controller: Callable[[str], Controller]
    publisher: Callable[[str], Publisher]  # what a controller says of itself; raises Conflict where it says nothing
    signing: Signing
    ledger: Ledger  # what a restored backup must not bring back
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    new_id: Callable[[str], str]
    in_force: Callable[[str], Rules]  # of a controller; reads nothing. Raises PolicyUnavailable
    settle: Callable[[str], None]  # sequence and sign what is pending of a log, as far as this process may. Raises AuditUnavailable

    def governed(self, controller_id: str) -> "Vault":
        """Return this vault under the bundle in force for a controller. Raises PolicyUnavailable where that is not certain."""
        rules = self.in_force(controller_id)
        if rules.policy is self.policy:
            return self
        return replace(
            self, policy=rules.policy, catalogue=rules.catalogue, templates=rules.templates, wordings=rules.wordings
        )  # fmt: skip

    def closing(self, controller_id: str) -> "Vault":
        """Return it likewise, or as it is where nothing is certain: for what repairs or takes away, never for what opens."""
        try:
            return self.governed(controller_id)
        except PolicyUnavailable:
            return self
