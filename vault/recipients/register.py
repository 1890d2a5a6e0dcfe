"""The register of recipients (GDPR 4(9), 28, 30(1)(d), 44 to 49): who a recipient is, and whether its terms hold now. Pure.

A recipient is a company or an office that receives data. Entries of the trail name it; agreements name the party it stands for
(`policies/recipients.yaml`), since nobody agrees anew because a helpdesk changed its supplier.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from vault.errors import Fault

ROLES: Final = ("processor", "joint-controller", "controller", "authority")
CHANNELS: Final = ("webhook", "opendsr", "manual")
HOUSE: Final = frozenset({"subject", "controller"})  # the person and the controller are no recipients of their own
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
COUNTRY: Final = re.compile(r"[A-Z]{2}")
TOOL: Final = re.compile(r"none|A4[5-9]-[1-9](-[a-z])?")
REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/()-]{0,254}")
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_DAYS: Final = 365
MOST_SUBPROCESSORS: Final = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the register, as somebody states it. References name documents kept elsewhere; instants are half-open.

    `days`: by when it is to have answered that it was told. `endpoint`: where it is told, unless that is for a person to do.
    `certificate`: in PEM, by which callbacks of OpenDSR are checked, pinned here.
    """

    name: str
    party: str
    role: str
    country: str
    transfer_tool: str = "none"
    contract: str | None = None
    contract_from: datetime | None = None
    contract_until: datetime | None = None
    instructions: str | None = None
    subprocessors: Sequence[str] = ()
    channel: str = "manual"
    endpoint: str | None = None
    days: int = 30
    certificate: bytes | None = None


def faults(one: Entry, parties: Collection[str]) -> Iterator[Fault]:
    """Yield what is wrong with a line, by pointer and code; `parties` are those of the policy in force."""
    for pointer, form, text in (
        ("/name", NAME, one.name), ("/country", COUNTRY, one.country), ("/transfer_tool", TOOL, one.transfer_tool),
        ("/contract", REFERENCE, one.contract), ("/instructions", REFERENCE, one.instructions),
        *(("/subprocessors", REFERENCE, name) for name in one.subprocessors),
    ):  # fmt: skip
        if text is not None and not form.fullmatch(text):
            yield Fault(pointer, "text.syntax")
    yield from (Fault(pointer, "recipient.house") for pointer in ("/name", "/party") if getattr(one, pointer[1:]) in HOUSE)
    if one.party not in parties:
        yield Fault("/party", "party.unknown")
    if one.name in parties and one.name != one.party:
        yield Fault("/name", "recipient.another-party")
    for pointer, stated, known in (("/role", one.role, ROLES), ("/channel", one.channel, CHANNELS)):
        if stated not in known:
            yield Fault(pointer, "unknown")
    yield from _dates(one)
    if not 1 <= one.days <= MOST_DAYS:
        yield Fault("/days", "days.unfit")
    if len(one.subprocessors) > MOST_SUBPROCESSORS:
        yield Fault("/subprocessors", "too-many")
    yield from _where(one)


def contract_holds(role: str, since: datetime | None, until: datetime | None, at: datetime) -> bool:
    """Return whether data may go there under GDPR 28(3): a processor's agreement is in force, or none is needed."""
    if role != "processor":
        return True
    return since is not None and since <= at and (until is None or at < until)


def is_address(text: str) -> bool:
    """Return whether this is where a webhook can be posted: HTTPS, or HTTP on this machine, and no credentials."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    sound = text.isascii() and text.isprintable() and " " not in text and len(text) <= 2000
    plain = parts.username is None and parts.password is None and not parts.fragment
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    return sound and plain and safe and bool(parts.hostname) and port != 0


def _where(one: Entry) -> Iterator[Fault]:
    if (one.channel != "manual") != (one.endpoint is not None) or (one.endpoint is not None and not is_address(one.endpoint)):
        yield Fault("/endpoint", "endpoint.unfit")
    if (one.channel == "opendsr") != (one.certificate is not None):
        yield Fault("/certificate", "certificate.unfit")


def _dates(one: Entry) -> Iterator[Fault]:
    if (one.contract is None) != (one.contract_from is None):
        yield Fault("/contract_from", "contract.half-stated")
    elif one.contract_until is not None and (one.contract_from is None or one.contract_until <= one.contract_from):
        yield Fault("/contract_until", "contract.ends-before")
