"""What is left of a log whose oldest leaves were archived: where it begins, and what its `log-prune` entry says of what is gone.

Leaves go in stretches of 65,536, whole tiles of level 1, and that level stays: so the root of any size above the bound, every proof
of an entry above it, and the consistency of any two checkpoints above it are made as before. Of a writer whose chain crosses the
bound the entry keeps number, hash and key versions, so that its next entry can be checked. Where the chains of people cross it, it
commits to by one hash: there are too many of them to be named. Of
an era that a recovery began it repeats what `log-recover` said, which was its second entry.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vault.octets import b64u, b64u_decode

STEP = 1 << 16  # entries: a full tile of level 1
STEP_HEIGHT = 16
OPERATION = "log-prune"


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a writer's chain stood at the bound: its last number and hash, and the versions of its two keys."""

    number: int
    leaf_hash: bytes
    mac_key: int
    audit_secret: int


@dataclass(frozen=True, slots=True)
class People:
    """Where people's chains stood at the bound: the hash over those that had gone on above it before the log was `size` long."""

    size: int = 0
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Where a log begins: `bound` entries are archived, whose root is `root`. `activations` of policy are among them."""

    bound: int
    root: bytes = field(repr=False)
    activations: int = 0
    writers: Mapping[str, Crossing] = field(default_factory=dict)
    people: People = People()
    begins: Mapping[str, Any] = field(default_factory=dict)  # what `log-recover` said, empty in the first era

    @property
    def about(self) -> dict[str, Any]:
        """Return what the entry says of it."""
        writers = {
            name: [one.number, b64u(one.leaf_hash), one.mac_key, one.audit_secret] for name, one in sorted(self.writers.items())
        }
        return {
            "bound": self.bound,
            "root": b64u(self.root),
            "activations": self.activations,
            "writers": writers,
            "people": [self.people.size, b64u(self.people.digest)],
            "begins": dict(self.begins),
        }

    @classmethod
    def read(cls, bound: int, about: Any) -> "Pruned":
        """Return what a row says. One that does not say it in full, or of another bound, is a pruning no entry tells of."""
        try:
            writers = {
                name: Crossing(int(number), b64u_decode(hashed), int(mac_key), int(secret))
                for name, (number, hashed, mac_key, secret) in about["writers"].items()
            }
            size, digest = about["people"]
            people = People(int(size), b64u_decode(digest))
            read = cls(bound, b64u_decode(about["root"]), int(about["activations"]), writers, people, dict(about["begins"]))
        except (KeyError, TypeError, AttributeError, ValueError):
            return cls(bound, b"")
        return read if read.about == about else cls(bound, b"")
