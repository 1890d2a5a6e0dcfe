"""What the shipped bundle shows more than the last release did stands in its list of acceptances, or this fails."""

from pathlib import Path

import pytest

from tests.policy.makers import altered, shipped_text
from tests.policy.released import ARCHIVE, released
from vault.policy.bundle import Bundle, load_bundle, shipped
from vault.policy.lint import faults
from vault.policy.plan import plan
from vault.policy.trial import Candidate


def unaccepted(new: Bundle) -> list[str]:
    """Return every WIDENS nobody accepted, as a reviewer should read it."""
    found = plan(Candidate.of(released()), Candidate.of(new)).unaccepted
    return [" / ".join(one.document.values()) for one in found]


def test_the_shipped_bundle_widens_nothing_that_is_not_accepted() -> None:
    if released().digest == load_bundle().digest:
        return  # equal files show the same; the test below sees the comparison fail
    assert unaccepted(load_bundle()) == []


def test_an_unlisted_widening_is_refused(tmp_path: Path) -> None:
    """What the one above is worth."""
    text = shipped_text("roles/verbs.cedar")
    assert 'Role::"t2"' in text
    new = load_bundle(altered(tmp_path, {"roles/verbs.cedar": text.replace('Role::"t2"', 'Role::"t1"', 1)}))
    assert any(one.startswith("t1 / ") for one in unaccepted(new))


def test_the_archive_is_of_a_sound_bundle_and_no_part_of_the_next() -> None:
    assert faults(released().files) == []
    assert not ARCHIVE.is_relative_to(shipped())


@pytest.mark.parametrize("path", ["roles/verbs.cedar", "limits.yaml"])
def test_the_archive_is_compared_by_content(path: str) -> None:
    assert path in released().files
