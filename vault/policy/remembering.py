"""An engine that is asked each thing once: for trials, where thousands of contexts ask the same of a field.

A verdict is a function of the policies that can speak, the schema and the closed world they are held to, the entities and the
request. So it may be kept for as long as the process lives, and serves every bundle that has those policies of one kind in common.
Never for a running vault: its two tables stand in front of the engine, and a recheck must reach it.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from threading import Lock
from typing import Any, Final

import orjson

from vault.policy.cedar import FAMILIES, families
from vault.policy.engine import PolicyEngine
from vault.policy.rows import Verdict

Json = dict[str, Any]
Known = dict[bytes, Verdict]

KEPT: Final = 128  # families of policies: those of some twenty bundles, or of one and as many slips as follow each other


class Memory:
    """What families of policies have said; those asked least recently are forgotten first. Threads may share it."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._lock = kept, Lock()
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def known(self, place: bytes) -> Known:
        """Return what is known under a digest of everything verdicts depend on but the question."""
        with self._lock:
            found = self._known.setdefault(place, {})
            self._known.move_to_end(place)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
            return found


class Remembering:
    """An engine of these policies, with a memory of what they said."""

    def __init__(
        self, engine: PolicyEngine, policies: Mapping[str, Json], memory: Memory | None = None, held_to: bytes = b""
    ) -> None:
        """`memory` may be shared by engines of other policies; `held_to` is a digest of the schema and closed world."""
        memory = memory or Memory()
        self._engine = engine
        self._known = {family: memory.known(held_to + _digest([family, some])) for family, some in families(policies).items()}

    def evaluate(self, entities: Sequence[Json], requests: Sequence[Json]) -> list[Verdict]:
        """Return one verdict for each request, all of one family. What failed is asked again."""
        beside = _digest(entities)
        places = [beside + _digest(one) for one in requests]
        known = self._known[FAMILIES[requests[0]["action"]["id"]]]
        unknown = {place: one for place, one in zip(places, requests, strict=True) if place not in known}
        said = dict(zip(unknown, self._engine.evaluate(entities, list(unknown.values())), strict=True)) if unknown else {}
        known.update({place: one for place, one in said.items() if not one.failed})
        return [said.get(place) or known[place] for place in places]


def _digest(document: object) -> bytes:
    return blake2b(orjson.dumps(document), digest_size=16).digest()
