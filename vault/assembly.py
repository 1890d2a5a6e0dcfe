"""A running vault, as a value: what operations are functions of. Built by `opening.open_vault`, or by a test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from vault.agreements.receipts import Publisher
from vault.agreements.terms import Template
from vault.agreements.wording import Wording
from vault.audit.recorder import Recorder
from vault.database import Database
from vault.keys.controller_keys import ControllerKeys
from vault.policy.engine import Policy
from vault.profiles.catalogue import Catalogue
from vault.settings import Settings
from vault.tickets import TicketDirectory


@dataclass(frozen=True, slots=True)
class Controller:
    """One company: `zone` is where its days end, `languages` the languages of its texts."""

    controller_id: str
    zone: ZoneInfo
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signing:
    """What documents are signed with, and the Ed25519 keys an outsider checks by: 32 bytes each."""

    sign_document: Callable[[bytes], bytes]  # 64 bytes; raises KeysUnavailable
    document_key: bytes
    checkpoint_key: bytes


@dataclass(frozen=True, slots=True)
class Vault:
    """What a running vault is made of. `now` is aware UTC, `monotonic` seconds, `new_id("ent")` a fresh `ent_…`."""

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
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    new_id: Callable[[str], str]
