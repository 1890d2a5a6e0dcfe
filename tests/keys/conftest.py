from collections.abc import Iterator

import pytest

from tests.keys.makers import Table, make_file_keyring, make_keys, make_table
from vault.connectors.keyrings.file import FileKeyring
from vault.keys.controller_keys import ControllerKeys


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> FileKeyring:
    """A keyring that no test changes but by making keys."""
    return make_file_keyring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def table(keyring: FileKeyring) -> Table:
    return make_table(keyring, ("ctl-1", "ctl-2"))


@pytest.fixture(scope="session")
def keys(keyring: FileKeyring, table: Table) -> Iterator[ControllerKeys]:
    """The keys of controllers ctl-1 and ctl-2 in epoch 7."""
    keys = make_keys(keyring, table)
    yield keys
    keys.close()
