from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit.makers import Log, log_on


@pytest.fixture
def log(database_url: str, tmp_path: Path) -> Iterator[Log]:
    """A log of its own on the shared database, and a signer's state of its own."""
    with log_on(database_url, tmp_path / "state") as made:
        yield made
