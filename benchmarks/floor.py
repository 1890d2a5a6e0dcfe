"""How fast the masked read could be at best: all of it that meets the database or the network, and nothing in between.

Served are the product's own route, with its guard, context, edge and lanes. For each ask the lane runs the product's read statement
and commits one entry of full size in the product's batches; but the entry, but for its id, and the answer are those of the first
ask, made once. No decision, no key, no value, no mask. What this cannot do, the masked read cannot.

    python -m benchmarks.floor --port 8001
"""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import uvicorn

from api.main import application
from vault import lanes
from vault.assembly import Vault
from vault.audit.prepared import Prepared, prepare
from vault.audit.recorder import RecorderLane
from vault.errors import VaultError
from vault.operations import disclose
from vault.operations.disclosure import Ask, Profile, disclosure_draft


@dataclasses.dataclass(frozen=True)
class Canned:
    """An answer made before: what the edge needs of a profile."""

    body: bytes
    entry_id: str
    decision_id: str = "dec_" + "a" * 26
    version: int = 1

    def encoded(self) -> bytes:
        """Return the answer."""
        return self.body


class Floor:
    """Stands for `disclose_all` in the lanes."""

    def __init__(self) -> None:
        self._entry: Prepared | None = None
        self._body = b""

    def disclose_all(self, vault: Vault, asks: Sequence[Ask], record: Any) -> list[Profile | VaultError]:
        """Read, record, and answer what was answered before."""
        controller_id = asks[0].context.controller_id
        lane: RecorderLane = record.__self__
        read = disclose.read_all(vault, controller_id, asks)
        if self._entry is None:
            case = disclose.decide_on(vault, asks[0], read, vault.now())
            made = prepare(lane._recorder._means, controller_id, disclosure_draft(vault, case))
            (answer,) = disclose.disclose_all(vault, asks[:1], record)
            assert isinstance(answer, Profile)
            nobodys = dataclasses.replace(made.draft, chain=None)  # many at once must not wait for the first one's chain
            self._entry, self._body = dataclasses.replace(made, chain_key=b"", draft=nobodys), answer.encoded()
        batch = [_named(self._entry, vault.new_id("ent")) for _ in asks]
        lane._lane.commit(batch, vault.monotonic() + 3)
        lane._recorder._wake(controller_id)
        return [cast(Profile, Canned(self._body, str(one.leaf["id"]))) for one in batch]


def _named(entry: Prepared, entry_id: str) -> Prepared:
    columns = (*entry.columns[:2], entry_id.encode(), *entry.columns[3:])
    return dataclasses.replace(entry, columns=columns, leaf={**entry.leaf, "id": entry_id})


def main() -> None:
    """Serve it on loopback until told to stop."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--port", type=int, required=True)
    vars(lanes)["disclose_all"] = Floor().disclose_all
    uvicorn.run(
        application(), host="127.0.0.1", port=asked.parse_args().port, loop="uvloop", http="httptools", access_log=False,
        log_level="warning",
    )  # fmt: skip


if __name__ == "__main__":
    main()
