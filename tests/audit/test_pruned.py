"""Verification that begins at a bound: the tree from level 1, chains where they were left, people's chains from what is left."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.audit.makers import KEYS, Log, vkey
from vault.audit.entry import encode
from vault.audit.merkle import fold, leaf_hash
from vault.audit.pruned import STEP, Crossing, Pruned
from vault.audit.scan import Findings, Scan
from vault.audit.scrub import Scrub
from vault.audit.verify_records import Log as Rows

NODE = fold([bytes(32)] * 256)  # the root of 65,536 leaves, as a tile of level 1 gives it
ROOT = fold([NODE] * 256)


def begun(tiles: Mapping[tuple[int, int], bytes], pruned: Pruned) -> set[str]:
    """Begin a log of sixteen million pruned entries; return what is found before the first row."""
    scan = Scan("o", [], vkey("o"), lambda level, index: tiles.get((level, 0 if level == 1 else index)), None)
    scan.begin_after(pruned)
    assert scan._next == pruned.bound
    return {one.check for one in scan.findings.all()}


def test_whole_tiles_of_higher_levels_are_made_of_level_1() -> None:
    tiles = {(1, 0): bytes(32) * 256, (2, 0): NODE * 256}
    whole = Pruned(256 * STEP, ROOT, writers={"wrt": Crossing(3, bytes(32), 1, 1)})
    assert begun(tiles, whole) == set()
    assert begun(tiles | {(2, 0): bytes(32) * 256}, whole) == {"tile"}
    assert begun(tiles, Pruned(256 * STEP, bytes(32))) == {"prune"}
    assert begun({}, Pruned(STEP, NODE)) == {"prune", "tile"}


@pytest.mark.parametrize(("began_before", "expected"), [(True, set()), (False, {"subject-chain"})])
def test_a_persons_chain_is_followed_from_the_first_row_that_is_left(
    whole: Log, *, began_before: bool, expected: set[str]
) -> None:  # fmt: skip
    findings = Findings()
    with whole.sequencing.transaction(whole.controller_id) as rows:
        log = Rows(rows, whole.controller_id, 1)
        leaves = {position: leaf for position, leaf, _, _ in log.entries()}
        scrub = Scrub(whole.controller_id, KEYS, {}, findings, began_before=began_before)
        scrub._secrets[0] = KEYS.audit_secret(1)
        for row in log.details():
            assert row.leaf == leaves[row.position]
            if row.chain_number > 2:
                scrub.detail(row)
    assert {one.check for one in findings.all()} == expected


@pytest.mark.parametrize(
    ("said", "is_believed"),
    [
        ([], False),
        (["done"], True),
        (["done", "failed"], False),  # seen failing: whoever deletes the rows after all would have had their excuse in the log
        (["done", "failed", "again"], True),
        (["failed", "done"], True),
    ],
)
def test_an_entry_that_was_taken_back_excuses_nothing(said: list[str], is_believed: bool) -> None:
    pruned = Pruned(256 * STEP, ROOT)
    told: dict[str, dict[str, Any]] = {
        "done": {"id": "ent_1", "outcome": "done", "about": pruned.about},
        "failed": {"id": "ent_2", "outcome": "failed", "ref": "ent_1"},
        "again": {"id": "ent_3", "outcome": "done", "about": pruned.about},
    }
    scan = Scan("o", [], vkey("o"), lambda level, _: {1: bytes(32) * 256, 2: NODE * 256}.get(level), None)
    scan.begin_after(pruned)
    for position, one in enumerate(said, pruned.bound):
        leaf = encode({"operation": "log-prune", "writer": "wrt_1", "number": 9, "at": 1, **told[one]})
        scan.take(position, leaf, leaf_hash(leaf), None)
    found = scan.finish(pruned.bound + len(said), [], [], []).findings
    assert any("no entry says" in one.what for one in found) is not is_believed
