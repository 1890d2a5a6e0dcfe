"""Two hundred restored backups, and nobody comes back."""

import pytest

from tests.drills.restoring import LOOKS, main


@pytest.mark.drill
def test_two_hundred_restored_backups_bring_nobody_back() -> None:
    found = main(200)
    assert {one: found[one] for one in LOOKS} == dict.fromkeys(LOOKS, 200)
