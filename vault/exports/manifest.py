"""The manifest of an export: every file with its size and hash, and what it was made from. One line of RFC 8785 JSON. Pure.

    {"catalogue","fields":{"exported","withheld"},"files":[{"bytes","media_type","path","sha256"}],"language","policy","request_id",
     "set","snapshot_at","v":1}

The vault signs that line and a newline as a C2SP note (`manifest.note`), so a package can be checked with a public key alone. A
list of a hundred thousand files is kept as the bytes it will be written as, not as objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal

import orjson
import rfc8785

from vault.notes import VerifierKey, signed_text

Set = Literal["access", "portability"]
SETS: Final[tuple[Set, ...]] = ("access", "portability")
MANIFEST, NOTE = "manifest.json", "manifest.note"
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".json": "application/json",
    ".jsonld": "application/ld+json",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".py": "text/x-python; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
}
_PLAIN: Final = "text/plain; charset=utf-8"  # checkpoints, proofs, notes


@dataclass(frozen=True, slots=True)
class About:
    """What an export was made from. `catalogue` and `policy` are digests `sha256:<hex>`; the counts are of fields."""

    request_id: str | None
    set: Set
    snapshot_at: str
    language: str
    catalogue: str
    policy: str
    exported: int
    withheld: int


@dataclass(slots=True)
class Files:
    """The files written so far, in order."""

    _lines: bytearray = field(default_factory=bytearray)  # as one: orjson's bytes each hold four kilobytes

    def add(self, path: str, size: int, digest: bytes) -> None:
        """Note a file that is written: its size in bytes, its SHA-256."""
        said = {"bytes": size, "media_type": media_type(path), "path": path, "sha256": digest.hex()}
        self._lines += (b"," if self._lines else b"") + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)

    def manifest(self, about: About) -> bytes:
        """Return the manifest, without a newline."""
        said: dict[str, Any] = {
            "v": 1, "request_id": about.request_id, "set": about.set, "snapshot_at": about.snapshot_at, "language": about.language,
            "catalogue": about.catalogue, "policy": about.policy, "files": [],
            "fields": {"exported": about.exported, "withheld": about.withheld},
        }  # fmt: skip
        head, between, tail = rfc8785.dumps(said).partition(b'"files":[')
        return b"".join((head, between, self._lines, tail))

    def forget(self) -> None:
        """Let go of what was noted, once the manifest says it."""
        self._lines = bytearray()


def media_type(path: str) -> str:
    """Return the media type of a file by how its name ends."""
    return next((found for ending, found in MEDIA_TYPES.items() if path.endswith(ending)), _PLAIN)


def checked_manifest(note: bytes, key: VerifierKey) -> dict[str, Any]:
    """Return what a signed manifest says. Raises ValueError for a signature that does not hold, or a line in another form."""
    body = signed_text(key, note)
    said = orjson.loads(body)
    if not isinstance(said, dict) or said.get("v") != 1 or rfc8785.dumps(said) + b"\n" != body.encode():
        raise ValueError("form")
    return said


def differences(said: Mapping[str, Any], found: Mapping[str, tuple[int, bytes]]) -> list[str]:
    """Return the paths at which a package is not what its manifest says: missing, other, or there without being listed.

    `found`: size and SHA-256 of each file, manifest and note aside.
    """
    listed = {one["path"]: (one["bytes"], bytes.fromhex(one["sha256"])) for one in said["files"]}
    twice = [] if len(listed) == len(said["files"]) else [MANIFEST]
    return twice + sorted(path for path in listed.keys() | found.keys() if listed.get(path) != found.get(path))


def digest_of(octets: bytes) -> tuple[int, bytes]:
    """Return size and SHA-256 of a file."""
    return len(octets), sha256(octets).digest()
