"""What the dead forbade: of online services alone, right by right, and never against money or defence."""

from itertools import product

import pytest

from vault.rights.afterlife import OVERRIDING, RIGHTS, is_forbidden


@pytest.mark.parametrize(("right", "ground"), list(product(RIGHTS, (None, *OVERRIDING))))
def test_what_is_forbidden(right: str, ground: str | None) -> None:
    others = [one for one in RIGHTS if one != right]
    assert is_forbidden([right], right, online=True, ground=ground) is (ground is None)
    assert not is_forbidden([right], right, online=False, ground=ground)
    assert not is_forbidden(others, right, online=True, ground=ground)
    assert not is_forbidden([], right, online=True, ground=ground)
