"""What a controller says of itself, in a file of its own: `<directory>/<controller>.json`. Ports: `vault.assembly.Vault.publisher`.

Name, address and contact are the company's to keep true, so they are no rows: an operator writes the file, and the next receipt
says it. Members are those of `Publisher`, all of them but `dpo` are needed, and no others; `storage` is a list of countries.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson

from vault.agreements.receipts import Publisher
from vault.errors import Conflict, Fault

_MEMBERS: Final = frozenset(one.name for one in fields(Publisher))
_NEEDED: Final = _MEMBERS - {"dpo"}
_LARGEST: Final = 16_384
_LINE = r"[^\x00-\x1f\x7f]{1,200}"
_ADDRESS = r"https://[a-z0-9][a-z0-9.-]{0,252}(:[0-9]{1,5})?"  # an IRI of our own making begins with it
_PATTERNS: Final[Mapping[str, "re.Pattern[str]"]] = {
    **{name: re.compile(_LINE) for name in ("name", "address", "contact", "email", "phone", "service", "dpo")},
    **{name: re.compile(_ADDRESS + r"(/[A-Za-z0-9._~/-]{0,200})?") for name in ("url", "portal", "notice")},
    "notice_on": re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "jurisdiction": re.compile(r"[A-Z]{2}"),
    "deletion": re.compile(r"P(?=[0-9])([0-9]{1,3}Y)?([0-9]{1,4}M)?([0-9]{1,4}W)?([0-9]{1,5}D)?", re.ASCII),
}
_CONTROLLER = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)  # what may stand in a file's name


def read_publisher(directory: Path, controller_id: str) -> Publisher:
    """Return what the controller's file says now.

    Raises Conflict: `controller-not-described` where there is none, `controller-misdescribed` with the members at fault.
    """
    if not _CONTROLLER.fullmatch(controller_id):
        raise Conflict("controller-not-described")
    try:
        octets = (directory / f"{controller_id}.json").read_bytes()
    except OSError:
        raise Conflict("controller-not-described") from None
    try:
        said = orjson.loads(octets) if len(octets) <= _LARGEST else None
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        raise Conflict("controller-misdescribed")
    faults = [Fault(name, "missing") for name in sorted(_NEEDED - said.keys())]
    if said.keys() - _MEMBERS:
        faults.append(Fault("members", "unknown"))  # not named: a caller would read what an operator wrote by mistake
    if faults := faults or [Fault(name, "unfit") for name in sorted(said) if not _fits(name, said[name])]:
        raise Conflict("controller-misdescribed", faults=faults)
    return Publisher(**{**said, "notice_on": date.fromisoformat(said["notice_on"]), "storage": tuple(said["storage"])})


def _fits(name: str, value: Any) -> bool:
    if name == "storage":
        return isinstance(value, list) and bool(value) and all(_fits("jurisdiction", one) for one in value)
    if not isinstance(value, str) or not _PATTERNS[name].fullmatch(value):
        return False
    return name != "notice_on" or _is_day(value)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
