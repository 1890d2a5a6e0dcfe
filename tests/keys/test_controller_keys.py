import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.keys.makers import CONTROLLER, CREDENTIAL, INSTALLATION, INSTANT, Table, make_file_keyring, make_table
from vault.connectors.keyrings.file import FILE_NAME, FileKeyring, Seal
from vault.errors import DatabaseUnavailable, KeysUnavailable, Unreadable
from vault.keys import controller_keys, envelope
from vault.keys.controller_keys import (
    PURPOSES,
    WRAP_BLOCK,
    WRAPS_PER_KEY,
    ControllerKeyRow,
    ControllerKeyRows,
    ControllerKeys,
    ControllerSecretRow,
    Secret,
    new_controller,
    new_controller_key,
)
from vault.keys.keyring import Context


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def own_keyring(tmp_path: Path) -> FileKeyring:
    return make_file_keyring(tmp_path)


@pytest.fixture
def own_table(own_keyring: FileKeyring) -> Table:
    return make_table(own_keyring)


@pytest.fixture
def make(own_keyring: FileKeyring, own_table: Table, clock: Clock) -> Iterator[Callable[..., ControllerKeys]]:
    """Make the keys of a process; each of its parts may be replaced."""
    made: list[ControllerKeys] = []

    def keys(
        load: Callable[[str], ControllerKeyRows] = own_table.load,
        monotonic: Callable[[], float] = clock,
        lifetime_s: float = 300.0,
        installation: str = "riserbo",
    ) -> ControllerKeys:
        made.append(ControllerKeys(own_keyring, load, monotonic, lifetime_s, installation=installation, reserve=own_table.reserve))
        return made[-1]

    yield keys
    for one in made:
        one.close()


Make = Callable[..., ControllerKeys]


@pytest.fixture
def own_keys(make: Make) -> ControllerKeys:
    return make()


def lose(tmp_path: Path) -> None:
    (tmp_path / "keyring" / FILE_NAME).rename(tmp_path / "lost")


def find(tmp_path: Path) -> None:
    (tmp_path / "lost").rename(tmp_path / "keyring" / FILE_NAME)


def refused(asking: Callable[[], object], error: type[Exception] = Unreadable) -> bool:
    with pytest.raises(error) as caught:
        asking()
    return caught.value.__cause__ is None


# --- what a controller has ---


def test_a_new_controller_has_a_key_and_a_secret_for_every_purpose(own_keys: ControllerKeys, own_table: Table):
    epoch, key = own_keys.current(CONTROLLER)
    secrets = [own_keys.secret(CONTROLLER, purpose) for purpose in PURPOSES]
    assert (epoch, len(key)) == (7, 32)
    assert own_keys.key(CONTROLLER, 7) == key
    assert {secret.version for secret in secrets} == {1}
    assert len({key, *(secret.key for secret in secrets)}) == 1 + len(PURPOSES)
    assert own_table.rows[CONTROLLER].keys[0].wraps_reserved == len(PURPOSES)
    assert own_table.loads == 1


def test_no_key_is_printed(own_keys: ControllerKeys):
    secret = own_keys.secret(CONTROLLER, "index")
    assert (repr(secret), str(secret), f"{secret}", repr(own_keys)) == ("***",) * 4


def test_two_controllers_share_no_key(own_keyring: FileKeyring, make: Make):
    keys = make(make_table(own_keyring, ("ctl-1", "ctl-2")).load)
    assert keys.key("ctl-1", 7) != keys.key("ctl-2", 7)
    assert keys.secret("ctl-1", "index").key != keys.secret("ctl-2", "index").key


def test_a_controller_nobody_made_has_no_keys(own_keys: ControllerKeys):
    assert refused(lambda: own_keys.current("ctl-9"), KeysUnavailable)


# --- what was changed in the tables ---


def swapped(table: Table, **change: object) -> None:
    rows = table.rows[CONTROLLER]
    table.rows[CONTROLLER] = ControllerKeyRows([replace(rows.keys[0], **change)], rows.secrets)  # type: ignore[arg-type]


@pytest.mark.parametrize("epoch", [6, 8, -1, 2**40])
def test_a_key_moved_to_another_epoch_does_not_open(own_keys: ControllerKeys, own_table: Table, epoch: int):
    swapped(own_table, epoch=epoch)
    assert refused(lambda: own_keys.key(CONTROLLER, epoch))
    assert refused(lambda: own_keys.current(CONTROLLER))
    assert refused(lambda: own_keys.secret(CONTROLLER, "index"))


def test_a_key_moved_to_another_controller_or_installation_does_not_open(own_keyring: FileKeyring, make: Make):
    table = make_table(own_keyring, ("ctl-1", "ctl-2"))
    table.rows["ctl-1"], table.rows["ctl-2"] = table.rows["ctl-2"], table.rows["ctl-1"]
    assert refused(lambda: make(table.load).key("ctl-1", 7))
    assert refused(lambda: make(installation="other").key(CONTROLLER, 7))


def test_a_key_its_row_does_not_commit_to_does_not_open(own_keys: ControllerKeys, own_table: Table):
    swapped(own_table, commit=bytes(32))
    assert refused(lambda: own_keys.key(CONTROLLER, 7))


def test_a_key_committed_under_an_epoch_no_format_holds_does_not_open(own_keyring: FileKeyring, own_table: Table, make: Make):
    blob, _ = forged_blob(own_keyring, -1)
    own_table.rows[CONTROLLER] = ControllerKeyRows([ControllerKeyRow(-1, "open", blob, bytes(32))], [])
    assert refused(lambda: make().key(CONTROLLER, -1))


def forged_blob(keyring: FileKeyring, epoch: int) -> tuple[bytes, bytes]:
    key = bytes(range(32))
    context = controller_keys.controller_key_context("riserbo", CONTROLLER, epoch)
    return keyring.wrap("root/7", [(key, context)])[0], key


@pytest.mark.parametrize("change", [{"purpose": "token"}, {"version": 2}, {"version": -1}, {"wrap": bytes(67)}, {"wrap": b""}])
def test_a_secret_moved_or_changed_stays_unknown_and_the_others_serve(
    own_keys: ControllerKeys, own_table: Table, change: dict[str, object]
):
    rows = own_table.rows[CONTROLLER]
    index = replace(next(row for row in rows.secrets if row.purpose == "index"), **change)  # type: ignore[arg-type]
    others = [row for row in rows.secrets if row.purpose not in {"index", change.get("purpose")}]
    own_table.rows[CONTROLLER] = ControllerKeyRows(rows.keys, [index, *others])
    assert refused(lambda: own_keys.secret(CONTROLLER, index.purpose))
    assert refused(lambda: own_keys.secret(CONTROLLER, index.purpose, index.version))
    assert own_keys.secret(CONTROLLER, "web").version == 1


# --- epochs and versions ---


def second_epoch(keyring: FileKeyring, table: Table, *, state: str = "open", first: str = "closing") -> None:
    one, other = table.rows[CONTROLLER], new_controller(keyring, "riserbo", CONTROLLER, 8)
    keys = [replace(one.keys[0], state=first), replace(other.keys[0], state=state)]
    later = [replace(row, version=1) for row in one.secrets]
    table.rows[CONTROLLER] = ControllerKeyRows(keys, later)


def test_new_wraps_are_made_under_the_open_epoch_and_the_old_one_still_opens(
    own_keyring: FileKeyring, own_table: Table, make: Make
):
    second_epoch(own_keyring, own_table)
    keys = make()
    epoch, key = keys.current(CONTROLLER)
    assert epoch == 8
    assert keys.key(CONTROLLER, 7) != key
    assert keys.secret(CONTROLLER, "index").version == 1


def test_a_closed_epoch_opens_nothing(own_keyring: FileKeyring, own_table: Table, make: Make):
    second_epoch(own_keyring, own_table, first="closed")
    keys = make()
    assert refused(lambda: keys.key(CONTROLLER, 7))
    assert keys.current(CONTROLLER)[0] == 8


def test_a_destroyed_root_takes_its_epoch_and_no_other(own_keyring: FileKeyring, own_table: Table, make: Make):
    second_epoch(own_keyring, own_table)
    own_keyring.destroy_root(7)
    keys = make()
    assert refused(lambda: keys.key(CONTROLLER, 7))
    assert keys.current(CONTROLLER)[0] == 8


def test_an_epoch_begun_since_is_found_and_made_up_ones_cost_one_load_a_second(
    own_keyring: FileKeyring, own_keys: ControllerKeys, own_table: Table, clock: Clock
):
    own_keys.current(CONTROLLER)
    second_epoch(own_keyring, own_table)
    clock.now += 0.5
    assert refused(lambda: own_keys.key(CONTROLLER, 8))
    clock.now += 0.5
    assert own_keys.key(CONTROLLER, 8)
    for epoch in range(100):
        assert refused(lambda epoch=epoch: own_keys.key(CONTROLLER, 100 + epoch))  # type: ignore[misc]
    assert own_table.loads == 2


def test_an_old_version_of_a_secret_can_be_asked_for(own_keys: ControllerKeys, own_table: Table):
    rows = own_table.rows[CONTROLLER]
    first = next(row for row in rows.secrets if row.purpose == "index")
    key = own_keys.key(CONTROLLER, 7)
    wrap = envelope.wrap_key(key, envelope.secret_place(CONTROLLER, "index", 2), 7, bytes(12), bytes(range(32)))
    own_table.rows[CONTROLLER] = ControllerKeyRows(rows.keys, [replace(first, version=2, wrap=wrap), replace(first, state="old")])
    own_keys.forget()
    assert own_keys.secret(CONTROLLER, "index").version == 2
    assert own_keys.secret(CONTROLLER, "index", 2).key == bytes(range(32))
    assert own_keys.secret(CONTROLLER, "index", 1).version == 1
    assert refused(lambda: own_keys.secret(CONTROLLER, "index", 3))


def test_a_version_of_a_secret_made_since_is_found(own_keys: ControllerKeys, own_table: Table, clock: Clock):
    assert refused(lambda: own_keys.secret(CONTROLLER, "index", 2))
    rows = own_table.rows[CONTROLLER]
    place = envelope.secret_place(CONTROLLER, "index", 2)
    wrap = envelope.wrap_key(own_keys.key(CONTROLLER, 7), place, 7, bytes(12), bytes(range(32)))
    own_table.rows[CONTROLLER] = ControllerKeyRows(rows.keys, [*rows.secrets, ControllerSecretRow("index", 2, wrap, "current")])
    clock.now += 1
    assert own_keys.secret(CONTROLLER, "index", 2).key == bytes(range(32))


# --- the life of a key ---


def test_a_key_lives_300_seconds_and_no_longer(own_keys: ControllerKeys, clock: Clock, tmp_path: Path):
    own_keys.key(CONTROLLER, 7)
    lose(tmp_path)
    clock.now += 299.9
    assert own_keys.key(CONTROLLER, 7)
    assert own_keys.secret(CONTROLLER, "index").version == 1
    clock.now += 0.1
    for ask in (
        lambda: own_keys.key(CONTROLLER, 7),
        lambda: own_keys.current(CONTROLLER),
        lambda: own_keys.secret(CONTROLLER, "index"),
        lambda: own_keys.wrap(CONTROLLER, b"", bytes(32)),
    ):
        assert refused(ask, KeysUnavailable)
    find(tmp_path)
    assert own_keys.key(CONTROLLER, 7)


def test_a_longer_life_than_300_seconds_cannot_be_set(clock: Clock, tmp_path: Path, make: Make):
    keys = make(lifetime_s=3600)
    keys.key(CONTROLLER, 7)
    lose(tmp_path)
    clock.now += 300
    assert refused(lambda: keys.key(CONTROLLER, 7), KeysUnavailable)


def test_the_age_counts_from_before_the_keyring_was_asked(own_table: Table, clock: Clock, tmp_path: Path, make: Make):
    def slow(controller_id: str) -> ControllerKeyRows:
        clock.now += 100
        return own_table.load(controller_id)

    keys = make(slow)
    keys.key(CONTROLLER, 7)
    lose(tmp_path)
    clock.now += 200
    assert refused(lambda: keys.key(CONTROLLER, 7), KeysUnavailable)


def test_a_key_in_use_is_renewed_from_240_seconds_on(own_keys: ControllerKeys, own_table: Table, clock: Clock, tmp_path: Path):
    own_keys.key(CONTROLLER, 7)
    clock.now += 239
    own_keys.renew()
    assert own_table.loads == 1
    clock.now += 1
    own_keys.renew()
    assert own_table.loads == 2
    lose(tmp_path)
    clock.now += 299
    assert own_keys.key(CONTROLLER, 7)


def test_a_renewal_that_fails_is_tried_again_and_leaves_the_key_its_life(
    own_keys: ControllerKeys, own_table: Table, clock: Clock, tmp_path: Path
):
    own_keys.key(CONTROLLER, 7)
    lose(tmp_path)
    clock.now += 240
    own_keys.renew()
    own_keys.renew()
    assert own_table.loads == 2
    assert own_keys.key(CONTROLLER, 7)
    find(tmp_path)
    clock.now += 5
    own_keys.renew()
    assert own_table.loads == 3
    clock.now += 100
    assert own_keys.key(CONTROLLER, 7)


def test_a_key_nobody_uses_leaves_the_memory_within_its_life(own_keys: ControllerKeys, own_table: Table, clock: Clock):
    own_keys.key(CONTROLLER, 7)
    clock.now += 240
    own_keys.renew()
    clock.now += 1
    own_keys.renew()
    assert own_table.loads == 2
    clock.now += 293
    own_keys.renew()
    assert own_table.loads == 2
    assert own_keys._held != {}
    clock.now += 1
    own_keys.renew()
    assert own_keys._held == {}


def test_dropping_an_old_load_leaves_a_newer_one(own_keys: ControllerKeys, clock: Clock):
    own_keys.key(CONTROLLER, 7)
    old = own_keys._held[CONTROLLER]
    clock.now += 300
    own_keys.key(CONTROLLER, 7)
    own_keys._drop(CONTROLLER, old)
    assert own_keys._held != {}


def test_the_thread_renews_what_is_used_and_everything_closes_when_the_keyring_goes(own_table: Table, tmp_path: Path, make: Make):
    keys = make(monotonic=time.monotonic, lifetime_s=0.5)
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        keys.key(CONTROLLER, 7)
        time.sleep(0.01)
    assert own_table.loads >= 3
    lose(tmp_path)
    lost_at = time.monotonic()
    while answers(keys) and time.monotonic() < lost_at + 5:
        time.sleep(0.01)
    assert time.monotonic() - lost_at <= 0.5 + 0.25
    assert refused(lambda: keys.current(CONTROLLER), KeysUnavailable)


def answers(keys: ControllerKeys) -> bool:
    try:
        return keys.key(CONTROLLER, 7) != b""
    except KeysUnavailable:
        return False


def test_the_thread_drops_keys_nobody_asks_for_again(make: Make):
    keys = make(monotonic=time.monotonic, lifetime_s=0.2)
    keys.key(CONTROLLER, 7)
    keys._held[CONTROLLER].used = False
    until = time.monotonic() + 5
    while keys._held and time.monotonic() < until:
        time.sleep(0.01)
    assert keys._held == {}


def test_closing_drops_every_key_and_ends_the_thread(make: Make):
    keys = make()
    keys.close()
    keys = make()
    keys.key(CONTROLLER, 7)
    assert keys._tending is not None
    keys.close()
    assert not keys._tending.is_alive()
    assert keys._held == {}


def test_forgetting_asks_the_keyring_again(own_keys: ControllerKeys, tmp_path: Path):
    own_keys.key(CONTROLLER, 7)
    own_keys.forget()
    assert own_keys._held == {}
    lose(tmp_path)
    assert refused(lambda: own_keys.key(CONTROLLER, 7), KeysUnavailable)


# --- single flight ---


class Gate:
    """A loader that waits until it may go on."""

    def __init__(self, table: Table, error: Exception | None = None) -> None:
        self.table = table
        self.error = error
        self.began = threading.Event()
        self.go_on = threading.Event()

    def load(self, controller_id: str) -> ControllerKeyRows:
        rows = self.table.load(controller_id)
        self.began.set()
        assert self.go_on.wait(10)
        if self.error is not None:
            raise self.error
        return rows


def asked_together(gate: Gate, keys: ControllerKeys, count: int = 4) -> list[object]:
    """Ask from several threads while the first load is held; return each answer or error."""
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(keys.key(CONTROLLER, 7))
        except Exception as error:  # noqa: BLE001 (whatever a caller would see)
            answers.append(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    threads[0].start()
    assert gate.began.wait(10)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.05)
    gate.go_on.set()
    for thread in threads:
        thread.join(10)
    return answers


def test_a_load_that_is_running_is_shared(own_table: Table, make: Make):
    gate = Gate(own_table)
    keys = make(gate.load)
    answers = asked_together(gate, keys)
    assert answers == [keys.key(CONTROLLER, 7)] * 4
    assert own_table.loads == 1


def test_a_load_that_fails_fails_for_all_who_wait_and_the_next_one_tries_again(own_table: Table, make: Make):
    gate = Gate(own_table, DatabaseUnavailable(retry_after_s=5))
    keys = make(gate.load)
    answers = asked_together(gate, keys)
    assert [(type(answer), getattr(answer, "retry_after_s", None)) for answer in answers] == [(DatabaseUnavailable, 5)] * 4
    assert len({id(answer) for answer in answers}) == 4
    assert own_table.loads == 1
    gate.error = None
    assert keys.key(CONTROLLER, 7)


def test_what_was_loading_when_all_was_forgotten_is_not_kept(own_table: Table, make: Make):
    gate = Gate(own_table)
    keys = make(gate.load)
    asking = threading.Thread(target=keys.key, args=(CONTROLLER, 7))
    asking.start()
    assert gate.began.wait(10)
    keys.forget()
    gate.go_on.set()
    asking.join(10)
    assert keys._held == {}


# --- counting wraps ---


def test_wraps_are_reserved_in_blocks(own_keys: ControllerKeys, own_table: Table):
    for _ in range(WRAP_BLOCK + 1):
        own_keys._count(CONTROLLER, 7)
    assert own_table.reserved == {(CONTROLLER, 7): 2 * WRAP_BLOCK}
    own_keys._count(CONTROLLER, 8)
    assert own_table.reserved[CONTROLLER, 8] == WRAP_BLOCK


def test_a_controller_key_stops_at_2_to_the_31_wraps(own_keys: ControllerKeys, own_table: Table):
    own_table.reserved[CONTROLLER, 7] = WRAPS_PER_KEY - WRAP_BLOCK
    epoch, wrap = own_keys.wrap(CONTROLLER, b"place", bytes(32))
    assert envelope.unwrap_key(own_keys.key(CONTROLLER, 7), b"place", epoch, wrap) == bytes(32)
    own_keys._blocks.clear()
    assert refused(lambda: own_keys.wrap(CONTROLLER, b"place", bytes(32)), KeysUnavailable)
    assert refused(lambda: own_keys.wrap(CONTROLLER, b"place", bytes(32)), KeysUnavailable)


def test_a_forked_worker_reserves_a_block_of_its_own(own_keys: ControllerKeys, own_table: Table, monkeypatch: pytest.MonkeyPatch):
    own_keys._count(CONTROLLER, 7)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    own_keys._count(CONTROLLER, 7)
    assert own_table.reserved == {(CONTROLLER, 7): 2 * WRAP_BLOCK}


def test_what_is_derived_of_a_secret_is_worked_out_once_and_never_printed() -> None:
    asked: list[bytes] = []

    def derive(key: bytes) -> bytes:
        asked.append(key)
        return key[::-1]

    secret = Secret(1, b"0123456789abcdef" * 2)
    assert [secret.under(derive), secret.under(derive)] == [secret.key[::-1]] * 2
    assert asked == [secret.key]
    assert (repr(secret), str(secret)) == ("***", "***")
    assert secret == Secret(1, secret.key)


class Forgetful(FileKeyring):
    """A keyring that wraps what it does not unwrap again."""

    def unwrap(self, items: Sequence[tuple[bytes, Context]]) -> list[bytes | Unreadable]:
        return [Unreadable() for _ in items]


def test_a_key_the_keyring_does_not_give_back_is_not_used(tmp_path: Path) -> None:
    holder = make_file_keyring(tmp_path)
    forgetful = Forgetful(tmp_path / "keyring", Seal("credential", CREDENTIAL), now=lambda: INSTANT, draw=os.urandom)
    assert new_controller_key(holder, INSTALLATION, CONTROLLER, 8)[1].epoch == 8
    with pytest.raises(KeysUnavailable):
        new_controller_key(forgetful, INSTALLATION, CONTROLLER, 8)


def test_a_wrap_is_made_anew_under_the_open_epoch(make: Callable[..., ControllerKeys], own_table: Table) -> None:
    keys = make()
    _, wrap = keys.wrap(CONTROLLER, b"here", bytes(32))
    assert keys.rewrap(CONTROLLER, b"here", wrap)[1] != wrap
    with pytest.raises(Unreadable):
        keys.rewrap(CONTROLLER, b"elsewhere", wrap)
