"""Limits: the figures of `policies/limits.yaml` that verbs hold callers to. Pure.

Each rate is so many in so many seconds; a spent one answers 429 with the time it refills.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

SECONDS: Final = {"minute": 60, "hour": 3_600, "day": 86_400}


class Rate(NamedTuple):
    """So many in so many seconds."""

    most: int
    seconds: int


Rates = tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be done how often. `reveal_*` count values, `misses_*` verifications that did not match."""

    fields_at_once: int
    hide_after_s: int
    reveal_per_caller_and_subject: Rates
    reveal_per_caller: Rates
    reveal_per_team: Rates
    misses_per_subject_and_field: Rates
    misses_per_subject: Rates
    misses_per_caller: Rates
    caller_verified_s: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Limits":
        """Return the limits of a parsed document. Raises ValueError for one that misses a figure or has one that is none."""
        try:
            reveal, verify = document["reveal"], document["verify"]
            return cls(
                fields_at_once=_count(reveal["fields_at_once"]),
                hide_after_s=_count(reveal["hide_after_s"]),
                reveal_per_caller_and_subject=_rates(reveal["per_caller_and_subject"]),
                reveal_per_caller=_rates(reveal["per_caller"]),
                reveal_per_team=_rates(reveal["per_team"]),
                misses_per_subject_and_field=_rates(verify["misses_per_subject_and_field"]),
                misses_per_subject=_rates(verify["misses_per_subject"]),
                misses_per_caller=_rates(verify["misses_per_caller"]),
                caller_verified_s=_count(verify["caller_verified_s"]),
            )
        except (KeyError, TypeError, AttributeError):
            raise ValueError("a limit is missing or is none") from None


def _rates(stated: Mapping[str, Any]) -> Rates:
    """Return rates, the shortest first. Raises ValueError for none at all."""
    found = tuple(sorted((Rate(_count(most), SECONDS[name]) for name, most in stated.items()), key=lambda one: one.seconds))
    if not found:
        raise ValueError("a limit is missing or is none")
    return found


def _count(stated: Any) -> int:
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < 1:
        raise ValueError("a limit is missing or is none")
    return stated
