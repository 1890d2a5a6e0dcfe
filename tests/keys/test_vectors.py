"""The bytes of this version, held for ever: what it seals now must open in ten years."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.keys.makers import make_permit
from tests.vectors.make import CREDENTIAL, FILES, HERE, PASSPHRASE, text_of
from vault.connectors.keyrings.file import FILE_NAME, FileKeyring, Seal
from vault.errors import Unreadable
from vault.keys import envelope, frame
from vault.keys.controller_keys import ControllerKeyRow, ControllerKeyRows, ControllerKeys, ControllerSecretRow
from vault.keys.data_keys import SealedClass, open_fields, unwrap_audit_key
from vault.keys.keyring import Keyring
from vault.keys.tokens import token_id

VECTORS: dict[str, Any] = {name.removesuffix(".json"): json.loads((HERE / name).read_text()) for name in FILES}
SEALS = {"credential": Seal("credential", CREDENTIAL), "passphrase_sealed": Seal("passphrase", PASSPHRASE.encode())}


def hexed(file: str, name: str) -> bytes:
    return bytes.fromhex(VECTORS[file][name])


def keyring_of(tmp_path: Path, sealed_by: str) -> FileKeyring:
    directory = tmp_path / "keyring"
    directory.mkdir(mode=0o700)
    (directory / FILE_NAME).touch(mode=0o600)
    (directory / FILE_NAME).write_text(VECTORS["keyring"][sealed_by]["file"])
    return FileKeyring(directory, SEALS[sealed_by], now=pytest.fail, draw=secrets.token_bytes)


def keys_of(keyring: Keyring) -> ControllerKeys:
    wraps = VECTORS["wrap"]
    rows = ControllerKeyRows(
        [ControllerKeyRow(7, "open", hexed_blob("credential"), hexed("wrap", "controller_commit"))],
        [ControllerSecretRow("token", 1, bytes.fromhex(wraps["wraps"]["secret"]["wrap"]), "current")],
    )
    installation = VECTORS["keyring"]["installation"]
    return ControllerKeys(keyring, lambda _: rows, lambda: 0.0, installation=installation, reserve=lambda *_: 1)


def hexed_blob(sealed_by: str) -> bytes:
    return bytes.fromhex(VECTORS["keyring"][sealed_by]["blob"])


@pytest.mark.parametrize("name", FILES)
def test_this_version_still_writes_the_published_bytes(name: str):
    assert text_of(name) == (HERE / name).read_text()


def test_the_formats_are_those_first_published():
    # written out, so that writing the files anew cannot move them
    assert hexed("envelope", "envelope").hex().endswith("ece1a058f9f9f2ac46")
    assert hexed("envelope", "aad").hex().startswith("00107269736572626f2e6669656c642e7631000563746c2d31")
    assert VECTORS["wrap"]["wraps"]["agreement"]["wrap"].endswith("13c07ab3d1b5c8791ae5450a0705c3e52a77")
    assert VECTORS["wrap"]["commit"] == "992430c7c31fe2bfcf3b69697fddee78503b05e31fa3d84a40e2895331c36e5a"
    assert VECTORS["wrap"]["bind"] == "c325d2c8fe01f3808666eec22ead34652edd859e7e3082b7e4eddd438d410a5e"
    assert VECTORS["frame"]["one"]["frame"].startswith("5253463101056167722d31000105656d61696c0000000000000001000042")
    assert VECTORS["frame"]["one"]["manifest"] == "8c374c7430545d5ef8d1e0dceb3285b8"
    assert VECTORS["tokens"]["text"] == "tok_2di5fu6u2xlnpwgz3ln5zxo634"
    assert VECTORS["tokens"]["token_id"] == "05a98e56bc7b8621ffee179dcf3de55a8acc1480fefd89c3c425f5bc112ea5bc"


def test_the_published_envelope_and_wraps_still_open():
    sealed, aad = hexed("envelope", "envelope"), hexed("envelope", "aad")
    clear = envelope.open_value(hexed("envelope", "data_key"), aad.removesuffix(sealed[:6]), sealed)
    assert clear.decode() == VECTORS["envelope"]["clear"]
    for wrapped in VECTORS["wrap"]["wraps"].values():
        place, wrap = bytes.fromhex(wrapped["place"]), bytes.fromhex(wrapped["wrap"])
        assert envelope.unwrap_key(hexed("wrap", "controller_key"), place, 7, wrap).hex() == wrapped["key"]


@pytest.mark.parametrize("name", ["empty", "one", "three"])
def test_the_published_frames_still_parse(name: str):
    published = VECTORS["frame"][name]
    parsed = frame.read(bytes.fromhex(published["frame"])).unpacked()
    found = [{**entry._asdict(), "envelope": entry.envelope.hex()} for entry in parsed.values()]
    assert sorted(found, key=str) == sorted(published["entries"], key=str)


@pytest.mark.parametrize("sealed_by", SEALS)
def test_the_published_keyring_still_opens(tmp_path: Path, sealed_by: str):
    published = VECTORS["keyring"][sealed_by]
    keyring = keyring_of(tmp_path, sealed_by)
    lost, blob = bytes.fromhex(published["blob_of_a_destroyed_root"]), hexed_blob(sealed_by)
    destroyed, found = keyring.unwrap([(lost, published["context"]), (blob, published["context"])])
    assert isinstance(destroyed, Unreadable)
    assert found == hexed("keyring", "controller_key")
    made, signed = published["mac"], published["signature"]
    assert keyring.mac(made["key"], [made["message"].encode()])[0].hex() == made["mac"]
    assert keyring.public_key(signed["key"]).hex() == signed["public_key"]
    assert keyring.sign(signed["key"], signed["message"].encode()).hex() == signed["signature"]


def test_a_profile_of_this_version_still_opens_from_the_keyring_down(tmp_path: Path):
    published = VECTORS["frame"]["three"]
    sealed = SealedClass(
        "ctl-1",
        "sub-1",
        "contact",
        1,
        commit=hexed("wrap", "commit"),
        manifest=bytes.fromhex(published["manifest"]),
        frame=bytes.fromhex(published["frame"]),
        wraps={"agr-1": (7, bytes.fromhex(VECTORS["wrap"]["wraps"]["agreement"]["wrap"]))},
    )
    keys = keys_of(keyring_of(tmp_path, "credential"))
    permit = make_permit({"email": "agr-1", "phone": "agr-1", "città": "agr-1"})
    opened = open_fields(keys, permit, [sealed], at=0.0)
    assert {name: clear.value for name, clear in opened.items()} == {
        "email": "ada@example.org",
        "phone": "+390212345678",
        "città": {"city": "Forlì"},
    }
    audit = bytes.fromhex(VECTORS["wrap"]["wraps"]["audit_key"]["wrap"])
    assert unwrap_audit_key(keys, "ctl-1", "sub-1", 7, audit).hex() == VECTORS["wrap"]["wraps"]["audit_key"]["key"]
    secret = keys.secret("ctl-1", "token")
    assert token_id(secret.key, VECTORS["tokens"]["text"]).hex() == VECTORS["tokens"]["token_id"]
    keys.close()
