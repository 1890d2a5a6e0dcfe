"""The contract of every keyring, on the file keyring, and what is its own: who may read the file, and what happens when it goes."""

import fcntl
import json
import multiprocessing
import os
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vault.connectors.keyrings.file import FILE_NAME, FileKeyring, Seal, make_keyring
from vault.errors import KeysUnavailable, Unreadable
from vault.keys.keyring import Blob, Keyring, decode_blob, encode_blob

INSTANT = datetime(2026, 10, 1, 9, 30, tzinfo=UTC)
SEAL = Seal("credential", bytes(range(32)))
CONTEXT = {"installation": "riserbo", "controller": "ctl-1", "epoch": "7", "use": "controller-key"}
KEYS = ("custody/1", "index/1", "ledger/1", "audit-mac/1", "audit-sign/1", "audit-receipt/1", "document-sign/1")


def opened(directory: Path, seal: Seal = SEAL, forbidden: tuple[Path, ...] = ()) -> FileKeyring:
    return FileKeyring(directory, seal, forbidden=forbidden, now=lambda: INSTANT, draw=secrets.token_bytes)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    make_keyring(tmp_path / "keyring", SEAL, draw=secrets.token_bytes)
    return tmp_path / "keyring"


@pytest.fixture
def keyring(directory: Path) -> FileKeyring:
    keyring = opened(directory)
    keyring.create_root(7)
    return keyring


def code_of(opening: Callable[[], object]) -> str:
    with pytest.raises(KeysUnavailable) as caught:
        opening()
    (fault,) = caught.value.faults
    return fault.code


def unavailable(asking: Callable[[], object]) -> bool:
    """Whether it fails, and says no more than that."""
    with pytest.raises(KeysUnavailable) as caught:
        asking()
    return caught.value.faults == () and caught.value.__cause__ is None


# --- the contract of every keyring ---


def test_the_file_keyring_is_a_keyring(keyring: FileKeyring):
    port: Keyring = keyring
    assert (port.provider, port.remote) == ("file", False)


@pytest.mark.parametrize("size", [0, 32, 4096])
def test_unwrapping_gives_back_what_was_wrapped(keyring: FileKeyring, size: int):
    payload = secrets.token_bytes(size)
    (blob,) = keyring.wrap("root/7", [(payload, CONTEXT)])
    assert keyring.unwrap([(blob, CONTEXT)]) == [payload]
    assert decode_blob(blob).provider == "file"
    assert decode_blob(blob).key == "root/7"


def test_a_batch_keeps_its_order_and_may_be_empty(keyring: FileKeyring):
    blobs = keyring.wrap("root/7", [(bytes([at]), CONTEXT) for at in range(5)])
    assert keyring.unwrap([(blob, CONTEXT) for blob in reversed(blobs)]) == [bytes([at]) for at in (4, 3, 2, 1, 0)]
    keyring.ensure("audit-mac/1")
    answers: list[object] = [
        keyring.wrap("root/7", []),
        keyring.unwrap([]),
        keyring.rewrap("root/7", []),
        keyring.mac("audit-mac/1", []),
    ]
    assert answers == [[], [], [], []]


def test_a_payload_above_4096_bytes_is_refused(keyring: FileKeyring):
    assert unavailable(lambda: keyring.wrap("root/7", [(bytes(4097), CONTEXT)]))


@pytest.mark.parametrize("member", CONTEXT)
def test_each_member_of_the_context_is_authenticated(keyring: FileKeyring, member: str):
    (blob,) = keyring.wrap("root/7", [(b"key", CONTEXT)])
    without = {name: value for name, value in CONTEXT.items() if name != member}
    for context in ({**CONTEXT, member: "other"}, without, {**CONTEXT, "more": ""}):
        (answer,) = keyring.unwrap([(blob, context)])
        assert isinstance(answer, Unreadable)
        assert str(answer) == "unreadable"


@given(bit=st.integers(0, 8 * 67 - 1))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_blob_with_any_bit_flipped_is_unreadable(keyring: FileKeyring, bit: int):
    (blob,) = keyring.wrap("root/7", [(bytes(24), CONTEXT)])
    changed = bytes(byte ^ (1 << bit % 8) if at == bit // 8 else byte for at, byte in enumerate(blob))
    assert len(blob) == 67
    assert changed != blob
    (answer,) = keyring.unwrap([(changed, CONTEXT)])
    assert isinstance(answer, Unreadable)


def test_a_bad_item_spoils_no_other(keyring: FileKeyring):
    good, other = keyring.wrap("root/7", [(b"one", CONTEXT), (b"two", CONTEXT)])
    first, second, third = keyring.unwrap([(good, CONTEXT), (other[:-1], CONTEXT), (other, CONTEXT)])
    assert (first, third) == (b"one", b"two")
    assert isinstance(second, Unreadable)


def test_a_blob_moved_to_another_key_or_provider_is_unreadable(keyring: FileKeyring):
    keyring.create_root(8)
    keyring.ensure("ledger/1")
    blob = decode_blob(keyring.wrap("root/7", [(b"key", CONTEXT)])[0])
    moved = [Blob("file", "root/8", blob.octets), Blob("file", "ledger/1", blob.octets), Blob("transit", blob.key, blob.octets)]
    moved += [Blob("file", "root/9", blob.octets), Blob("file", "nonsense", blob.octets), Blob("file", "root/7", b"")]
    assert all(isinstance(answer, Unreadable) for answer in keyring.unwrap([(encode_blob(one), CONTEXT) for one in moved]))


def test_rewrapping_moves_a_blob_to_another_root(keyring: FileKeyring):
    (blob,) = keyring.wrap("root/7", [(b"key", CONTEXT)])
    moved, bad = keyring.rewrap(keyring.create_root(8), [(blob, CONTEXT), (blob, {})])
    assert isinstance(moved, bytes)
    assert decode_blob(moved).key == "root/8"
    assert keyring.unwrap([(moved, CONTEXT)]) == [b"key"]
    assert isinstance(bad, Unreadable)


def test_a_mac_is_of_one_key_and_message(keyring: FileKeyring):
    for name in ("ledger/1", "ledger/2"):
        keyring.ensure(name)
    made = [*keyring.mac("ledger/1", [b"a", b"b"]), *keyring.mac("ledger/2", [b"a"])]
    assert len(set(made)) == 3
    assert {len(mac) for mac in made} == {32}
    assert keyring.mac("ledger/1", [b"b"]) == made[1:2]


def test_a_signature_verifies_with_the_public_key(keyring: FileKeyring):
    keyring.ensure("audit-sign/1")
    public = Ed25519PublicKey.from_public_bytes(keyring.public_key("audit-sign/1"))
    public.verify(keyring.sign("audit-sign/1", b"checkpoint"), b"checkpoint")


@pytest.mark.parametrize("name", KEYS)
def test_a_key_serves_one_use_only(keyring: FileKeyring, name: str):
    keyring.ensure(name)
    uses: dict[str, Callable[[], object]] = {
        "wrap": lambda: keyring.wrap(name, [(b"key", CONTEXT)]),
        "mac": lambda: keyring.mac(name, [b"message"]),
        "sign": lambda: (keyring.sign(name, b"message"), keyring.public_key(name)),
    }
    served = []
    for use, ask in uses.items():
        try:
            ask()
            served.append(use)
        except KeysUnavailable:
            continue
    assert len(served) == 1


def test_a_key_that_was_never_made_is_unavailable(keyring: FileKeyring):
    assert keyring.state("ledger/9") == "absent"
    assert unavailable(lambda: keyring.mac("ledger/9", [b"message"]))
    assert unavailable(lambda: keyring.wrap("root/9", [(b"key", CONTEXT)]))
    assert unavailable(lambda: keyring.rewrap("root/9", []))
    assert unavailable(lambda: keyring.destroy_root(9))
    assert unavailable(lambda: keyring.ensure("nonsense/1"))


def test_making_a_key_twice_keeps_it(keyring: FileKeyring):
    (blob,) = keyring.wrap("root/7", [(b"key", CONTEXT)])
    assert keyring.create_root(7) == "root/7"
    assert keyring.unwrap([(blob, CONTEXT)]) == [b"key"]
    assert keyring.state("root/7") == "enabled"


def test_a_destroyed_root_opens_nothing_and_never_returns(keyring: FileKeyring, directory: Path):
    (blob,) = keyring.wrap("root/7", [(b"key", CONTEXT)])
    sealed = json.loads((directory / FILE_NAME).read_text())["keys"]["root/7"]["sealed"]
    destruction = keyring.destroy_root(7)
    assert (destruction.state, destruction.at) == ("destroyed", INSTANT)
    assert destruction.evidence.startswith("sha256:")
    assert sealed not in (directory / FILE_NAME).read_text()
    for again in (keyring, opened(directory)):
        assert again.state("root/7") == "destroyed"
        assert isinstance(again.unwrap([(blob, CONTEXT)])[0], Unreadable)
        assert unavailable(partial(again.wrap, "root/7", []))
        assert unavailable(partial(again.create_root, 7))
        assert again.destroy_root(7) == destruction


def test_keys_survive_a_restart(keyring: FileKeyring, directory: Path):
    keyring.ensure("audit-mac/1")
    (blob,) = keyring.wrap("root/7", [(b"key", CONTEXT)])
    again = opened(directory)
    assert again.unwrap([(blob, CONTEXT)]) == [b"key"]
    assert again.mac("audit-mac/1", [b"m"]) == keyring.mac("audit-mac/1", [b"m"])


def _create_roots(directory: Path, first: int, together: Barrier) -> None:
    keyring = opened(directory)
    together.wait(30)
    for epoch in range(first, first + 20):
        keyring.create_root(epoch)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # processes fork on purpose
def test_processes_that_make_keys_at_once_lose_none(directory: Path):
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(2)
    processes = [fork.Process(target=_create_roots, args=(directory, first, together)) for first in (1, 101)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    keyring = opened(directory)
    assert {keyring.state(f"root/{epoch}") for epoch in (*range(1, 21), *range(101, 121))} == {"enabled"}


def test_a_change_waits_for_another_process_to_finish_its_own(keyring: FileKeyring, directory: Path):
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    changing = threading.Thread(target=keyring.create_root, args=(8,))
    changing.start()
    changing.join(0.1)
    assert changing.is_alive()
    assert keyring.state("root/8") == "absent"
    os.close(descriptor)
    changing.join(10)
    assert keyring.state("root/8") == "enabled"


# --- its own: who may read the file ---


def test_the_file_and_its_directory_are_made_for_the_owner_alone(directory: Path):
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o700, 0o4600, 0o000])
def test_a_file_that_others_may_read_is_refused(keyring: FileKeyring, directory: Path, mode: int):
    (directory / FILE_NAME).chmod(mode)
    assert code_of(lambda: opened(directory)) in {"file-open-to-others", "not-readable"}
    assert unavailable(lambda: keyring.state("root/7"))
    assert keyring.health().answers is False


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o1777])
def test_a_directory_that_others_may_enter_is_refused(keyring: FileKeyring, directory: Path, mode: int):
    directory.chmod(mode)
    assert code_of(lambda: opened(directory)) == "directory-open-to-others"
    assert unavailable(lambda: keyring.unwrap([]))
    assert keyring.health().code == "directory-open-to-others"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_owner_is_refused(directory: Path):
    os.chown(directory / FILE_NAME, 1, 1)
    assert code_of(lambda: opened(directory)) == "file-open-to-others"
    os.chown(directory / FILE_NAME, 0, 0)
    os.chown(directory, 1, 1)
    assert code_of(lambda: opened(directory)) == "directory-open-to-others"


def test_links_are_refused(directory: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(directory)
    assert code_of(lambda: opened(tmp_path / "link")) == "not-a-directory"
    (directory / FILE_NAME).rename(tmp_path / "elsewhere.json")
    (directory / FILE_NAME).symlink_to(tmp_path / "elsewhere.json")
    assert code_of(lambda: opened(directory)) == "not-readable"


def test_what_is_no_file_is_refused(directory: Path):
    (directory / FILE_NAME).unlink()
    os.mkfifo(directory / FILE_NAME, 0o600)
    assert code_of(lambda: opened(directory)) == "not-a-file"
    (directory / FILE_NAME).unlink()
    (directory / FILE_NAME).mkdir()
    assert code_of(lambda: opened(directory)) in {"not-readable", "not-a-file"}


def test_a_file_of_unlikely_size_is_not_read(directory: Path):
    os.truncate(directory / FILE_NAME, 5 << 20)
    assert code_of(lambda: opened(directory)) == "not-a-file"


@pytest.mark.parametrize("inside", [".", "keyring", "deep/below"])
def test_a_keyring_inside_the_data_directory_is_refused(tmp_path: Path, inside: str):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "alias").symlink_to(data)
    for place in (data / inside, tmp_path / "alias" / inside):
        making = partial(make_keyring, place, SEAL, forbidden=[data], draw=secrets.token_bytes)
        assert code_of(making) == "inside-data"
        assert code_of(partial(opened, place, forbidden=(tmp_path / "backups", data))) == "inside-data"
    assert list(data.iterdir()) == []


def test_a_keyring_beside_the_data_directory_is_taken(directory: Path, tmp_path: Path):
    assert opened(directory, forbidden=(tmp_path / "data",)).health().answers


def test_a_keyring_is_never_made_over_another(directory: Path):
    before = (directory / FILE_NAME).read_bytes()
    assert code_of(lambda: make_keyring(directory, SEAL, draw=secrets.token_bytes)) == "exists"
    assert (directory / FILE_NAME).read_bytes() == before


def test_a_keyring_is_not_made_where_others_may_look(tmp_path: Path):
    (tmp_path / "open").mkdir(mode=0o755)
    assert code_of(lambda: make_keyring(tmp_path / "open", SEAL, draw=secrets.token_bytes)) == "directory-open-to-others"
    (tmp_path / "file").touch()
    assert code_of(lambda: make_keyring(tmp_path / "file", SEAL, draw=secrets.token_bytes)) == "not-writable"


# --- the seal ---


def test_a_passphrase_opens_its_keyring_and_no_other_does(tmp_path: Path):
    phrase = Seal("passphrase", b"horse staple, correct battery")
    make_keyring(tmp_path / "keyring", phrase, draw=secrets.token_bytes)
    keyring = opened(tmp_path / "keyring", phrase)
    keyring.create_root(1)
    assert opened(tmp_path / "keyring", phrase).state("root/1") == "enabled"
    assert code_of(lambda: opened(tmp_path / "keyring", Seal("passphrase", b"another"))) == "sealed-otherwise"
    assert code_of(lambda: opened(tmp_path / "keyring")) == "seal"


@pytest.mark.parametrize(
    ("seal", "code"),
    [
        (Seal("credential", bytes(32)), "sealed-otherwise"),
        (Seal("credential", bytes(31)), "credential"),
        (Seal("credential", b""), "credential"),
        (Seal("passphrase", bytes(range(32))), "seal"),
    ],
)
def test_a_wrong_credential_is_refused_at_start(keyring: FileKeyring, directory: Path, seal: Seal, code: str):
    assert keyring.health().answers
    assert code_of(lambda: opened(directory, seal)) == code


def test_nothing_secret_is_printed(keyring: FileKeyring):
    assert repr(keyring) == "***"
    assert "secret" not in repr(SEAL)
    assert "sealing_key" not in repr(keyring._contents)
    assert "sealed" not in repr(keyring._contents).replace("sealing", "")


def rewritten(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((directory / FILE_NAME).read_text())
    change(document)
    (directory / FILE_NAME).write_text(json.dumps(document))


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda document: document.update(format="riserbo-keyring/2"),
    "a member more": lambda document: document.update(more=1),
    "no keys": lambda document: document.pop("keys"),
    "keys no map": lambda document: document.update(keys=[1]),
    "a name that is none": lambda document: document["keys"].update({"nonsense/1": document["keys"]["root/7"]}),
    "an entry without its key": lambda document: document["keys"].update({"root/7": {"made_at": "2026-10-01"}}),
    "an entry that is none": lambda document: document["keys"].update({"root/7": 1}),
    "an instant that is none": lambda document: document["keys"]["root/7"].update(made_at="yesterday"),
    "an instant that is no text": lambda document: document["keys"]["root/7"].update(made_at=1),
}
SEALED_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "moved to another name": lambda document: document["keys"].update({"root/8": document["keys"]["root/7"]}),
    "not base64": lambda document: document["keys"]["root/7"].update(sealed="?"),
    "not text": lambda document: document["keys"]["root/7"].update(sealed=1),
    "cut": lambda document: document["keys"]["root/7"].update(sealed=""),
}


@pytest.mark.parametrize("defect", CHANGES)
def test_a_file_of_another_form_is_refused(keyring: FileKeyring, directory: Path, defect: str):
    rewritten(directory, CHANGES[defect])
    assert code_of(lambda: opened(directory)) == "format"
    assert unavailable(lambda: keyring.state("root/7"))


@pytest.mark.parametrize("defect", SEALED_CHANGES)
def test_a_changed_entry_is_refused(keyring: FileKeyring, directory: Path, defect: str):
    rewritten(directory, SEALED_CHANGES[defect])
    assert code_of(lambda: opened(directory)) == "sealed-otherwise"
    assert unavailable(lambda: keyring.state("root/7"))


@pytest.mark.parametrize(
    "seal",
    [
        {"kind": "credential", "more": 1},
        {"kind": "passphrase"},
        {"kind": "passphrase", "t": 1, "m_kib": 8, "p": 1, "salt": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"kind": "passphrase", "t": 3, "m_kib": 1 << 30, "p": 4, "salt": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"kind": "passphrase", "t": 3, "m_kib": 65536, "p": 4, "salt": "?"},
        {"kind": "passphrase", "t": 3, "m_kib": 65536, "p": 4, "salt": ""},
        {"kind": "passphrase", "t": 3, "m_kib": 65536, "p": 4, "salt": 1},
        [],
    ],
)
def test_a_seal_of_other_costs_is_refused_not_obeyed(directory: Path, seal: Any):
    rewritten(directory, lambda document: document.update(seal=seal))
    assert code_of(lambda: opened(directory, Seal("passphrase", b"phrase"))) == "seal"


def test_a_key_of_another_length_is_refused(directory: Path):
    short = FileKeyring(directory, SEAL, now=lambda: INSTANT, draw=lambda size: bytes(min(size, 31)))
    short.create_root(7)
    assert unavailable(lambda: short.state("root/7"))
    assert code_of(lambda: opened(directory)) == "sealed-otherwise"


# --- when the file goes ---


def every_ask(keyring: FileKeyring) -> dict[str, Callable[[], object]]:
    return {
        "wrap": lambda: keyring.wrap("root/7", [(b"key", CONTEXT)]),
        "unwrap": lambda: keyring.unwrap([]),
        "rewrap": lambda: keyring.rewrap("root/7", []),
        "mac": lambda: keyring.mac("audit-mac/1", []),
        "sign": lambda: keyring.sign("audit-sign/1", b""),
        "public_key": lambda: keyring.public_key("audit-sign/1"),
        "ensure": lambda: keyring.ensure("index/1"),
        "create_root": lambda: keyring.create_root(8),
        "destroy_root": lambda: keyring.destroy_root(7),
        "state": lambda: keyring.state("root/7"),
    }


def test_a_file_that_is_gone_closes_every_operation_and_coming_back_opens_them(keyring: FileKeyring, directory: Path):
    for name in ("audit-mac/1", "audit-sign/1"):
        keyring.ensure(name)
    (directory / FILE_NAME).rename(directory / "away")
    for ask in every_ask(keyring).values():
        assert unavailable(ask)
    assert (keyring.health().answers, keyring.health().code) == (False, "not-readable")
    (directory / "away").rename(directory / FILE_NAME)
    for ask in every_ask(keyring).values():
        ask()


def test_a_directory_that_is_gone_closes_every_operation(keyring: FileKeyring, directory: Path):
    directory.rename(directory.with_name("away"))
    for ask in every_ask(keyring).values():
        assert unavailable(ask)


def test_an_older_keyring_put_back_is_seen_at_once(keyring: FileKeyring, directory: Path):
    older = (directory / FILE_NAME).read_bytes()
    keyring.create_root(8)
    (blob,) = keyring.wrap("root/8", [(b"key", CONTEXT)])
    (directory / FILE_NAME).write_bytes(older)
    assert keyring.state("root/8") == "absent"
    assert isinstance(keyring.unwrap([(blob, CONTEXT)])[0], Unreadable)


def test_a_crash_while_writing_leaves_the_old_file(keyring: FileKeyring, directory: Path):
    (directory / f".{FILE_NAME}.new").write_bytes(b"half")
    assert opened(directory).state("root/7") == "enabled"
    keyring.create_root(8)
    assert opened(directory).state("root/8") == "enabled"
    assert [path.name for path in directory.iterdir()] == [FILE_NAME]


def test_a_disk_that_takes_nothing_leaves_the_old_file(keyring: FileKeyring, directory: Path):
    (directory / f".{FILE_NAME}.new").mkdir()
    assert unavailable(lambda: keyring.create_root(8))
    assert keyring.state("root/8") == "absent"
    assert unavailable(lambda: keyring.destroy_root(7))
    assert keyring.state("root/7") == "enabled"


def test_the_lock_is_given_back(keyring: FileKeyring, directory: Path):
    assert unavailable(lambda: keyring.destroy_root(9))
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
