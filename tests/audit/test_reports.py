"""A customer's report: true and whole it verifies, and each way of leaving out, changing or adding is seen offline."""

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.audit.reports import AUDIT_KEY, CHAIN_KEY, KEY, LAST, ME, SALTS, SIGNING, access, audience, bundle, opened, run, unpacked
from vault.audit import entry
from vault.audit.accesses import agent_label, concerns_others, opened_row, told, unbroken
from vault.audit.package import zipped
from vault.notes import VerifierKey
from vault.octets import b64u
from vault.operations.hand_over_accesses import signed_line
from vault.operations.signing import note_of

Files = dict[str, bytes]
Capsys = pytest.CaptureFixture[str]
CHAIN = [access(1), access(2, details=None, internal={}), access(3), access(4), LAST]
SHOWN, PROVING = "accesses/accesses.json", "accesses/evidence.json"


def checked(files: Files, place: Path, capsys: Capsys) -> tuple[int, str]:
    return run(capsys, "report", unpacked(files, place), "--key", KEY.text)


def changed(files: Files, name: str, change: Callable[[dict[str, Any]], Any]) -> Files:
    document = json.loads(files[name])
    change(document)
    return {**files, name: json.dumps(document).encode()}


def both(files: Files, change: Callable[[list[Any]], Any]) -> Files:
    """Change the entries of list and evidence alike."""
    made = changed(files, SHOWN, lambda document: change(document["accesses"]))
    return changed(made, PROVING, lambda document: change(document["entries"]))


def test_a_whole_report_verifies_from_a_folder_and_from_a_zip(tmp_path: Path, capsys: Capsys) -> None:
    files = bundle(opened(CHAIN))
    status, said = checked(files, tmp_path / "folder", capsys)
    assert (status, "5 accesses, numbers 1 to 5: none is missing" in said) == (0, True), said
    (tmp_path / "report.zip").write_bytes(zipped(files))
    assert zipped(files) == zipped(dict(files))
    assert run(capsys, "report", tmp_path / "report.zip", "--key", KEY.text) == (0, said)


def test_a_report_begins_later_only_for_who_allows_for_it(tmp_path: Path, capsys: Capsys) -> None:
    """Details are kept for 24 months, so a report may begin late; but that is also how a vault would hide the oldest."""
    place = unpacked(bundle(opened(CHAIN, first=41, previous=bytes(range(16)))), tmp_path)
    status, said = run(capsys, "report", place, "--key", KEY.text)
    assert (status, "40 accesses before it are not shown" in said) == (1, True), said
    status, said = run(capsys, "report", place, "--key", KEY.text, "--first", 41)
    assert (status, "numbers 41 to 45" in said, "as you allowed for" in said) == (0, True, True), said
    for first in ("40", "0", "x"):
        assert run(capsys, "report", place, "--key", KEY.text, "--first", first)[0] == 1


def test_an_entry_the_vault_withholds_is_missed(tmp_path: Path, capsys: Capsys) -> None:
    """Whatever else it does right: the vault leaves one out and makes list, evidence and proofs of the rest."""
    every = opened(CHAIN)
    for at in range(len(every) - 1):
        files = bundle([*every[:at], *every[at + 1 :]], log=every)
        status, said = checked(files, tmp_path / str(at), capsys)
        assert (status, ("left out" if at else "1 accesses before it are not shown") in said) == (1, True), (at, said)


def test_a_report_cut_short_does_not_end_with_itself(tmp_path: Path, capsys: Capsys) -> None:
    every = opened(CHAIN)
    status, said = checked(bundle(every[:-1], log=every), tmp_path, capsys)
    assert (status, "does not end with the entry of this report" in said) == (1, True), said


@pytest.mark.parametrize(
    "said", [{"outcome": "refused"}, {"outcome": "failed"}, {"details": {"form": "page"}}, {"details": {}}, {"details": None}]
)
def test_a_report_is_not_cut_at_a_refusal_or_a_page(tmp_path: Path, capsys: Capsys, said: dict[str, Any]) -> None:
    """Anybody's refused request for the list stands in the person's chain; it is no end of a list handed over."""
    every = opened([access(1), {**LAST, **said}, access(3), LAST])
    assert checked(bundle(every), tmp_path / "whole", capsys)[0] == 0
    status, told = checked(bundle(every[:2], log=every), tmp_path / "cut", capsys)
    assert (status, "does not end with the entry of" in told) == (1, True), told


def flipped(text: str) -> str:
    return text.replace("TCK-1", "TCK-2")


def other_key(document: dict[str, Any]) -> None:
    document["chain_key"] = b64u(bytes(32))


MUTATIONS: dict[str, tuple[Callable[[Files], Files], str]] = {
    "a leaf": (lambda files: changed(files, PROVING, lambda one: one["entries"][0].update(
        leaf=one["entries"][0]["leaf"].replace('"partial"', '"refused"'))), "not in the log"),
    "an opening": (lambda files: changed(files, PROVING, lambda one: one["entries"][0].update(
        details=flipped(one["entries"][0]["details"]))), "not what was committed to"),
    "a salt": (lambda files: changed(files, PROVING, lambda one: one["entries"][0].update(salt=b64u(bytes(32)))), "not what was"),
    "no salt": (lambda files: changed(files, PROVING, lambda one: one["entries"][0].pop("salt")), "salt is missing"),
    "no opening": (lambda files: changed(files, PROVING, lambda one: one["entries"][0].pop("details")), "details is missing"),
    "an opening of nothing": (lambda files: changed(files, PROVING, lambda one: one["entries"][1].update(
        details="{}", salt=b64u(bytes(32)))), "nothing was committed to"),
    "the chain key": (lambda files: changed(files, PROVING, other_key), "left out"),
    "dropped": (lambda files: both(files, lambda rows: rows.pop(2)), "left out"),
    "dropped from the list": (lambda files: changed(files, SHOWN, lambda one: one["accesses"].pop(2)), "different entries"),
    "reordered": (lambda files: both(files, lambda rows: rows.insert(1, rows.pop(2))), "left out"),
    "twice": (lambda files: both(files, lambda rows: rows.insert(1, rows[0])), "stands twice"),
    "renumbered": (lambda files: changed(files, PROVING, lambda one: one.update(first=2, previous=b64u(bytes(16)))), "not shown"),
    "no beginning": (lambda files: changed(files, PROVING, lambda one: one.update(first=0)), "not shown"),
    "a beginning before the first": (lambda files: changed(files, PROVING, lambda one: one.update(previous=b64u(bytes(16)))),
                                     "no right beginning"),
    "somebody else's list": (lambda files: changed(files, SHOWN, lambda one: one.update(subject_id="sub_x")), "another person"),
    "another report": (lambda files: changed(files, SHOWN, lambda one: one.update(report="ent_x")), "of another report"),
    "no entries": (lambda files: both(files, lambda rows: rows.clear()), "no entries"),
    "the list says otherwise": (lambda files: changed(files, SHOWN, lambda one: one["accesses"][0].update(
        purpose="marketing")), "does not say what the log says"),
    "the list says more": (lambda files: changed(files, SHOWN, lambda one: one["accesses"][0].update(
        note="all is well")), "does not say what the log says"),
    "the list says less": (lambda files: changed(files, SHOWN, lambda one: one["accesses"][0].pop("fields")), "does not say"),
    "a proof missing": (lambda files: {name: one for name, one in files.items() if "proofs/ent_" not in name},
                        "its proof is missing"),
    "a proof of somebody else's": (lambda files: {**files, "accesses/proofs/ent_x.tlog-proof": b""}, "not listed"),
    "no checkpoint": (lambda files: {name: one for name, one in files.items() if name != "accesses/checkpoint"}, "is missing"),
    "no list": (lambda files: {name: one for name, one in files.items() if name != SHOWN}, "is missing"),
    "a name twice": (lambda files: {**files, SHOWN: files[SHOWN].replace(b'"v":', b'"report": "ent_y", "v":', 1)}, "stands twice"),
    "a tag for a leaf": (lambda files: changed(files, PROVING, lambda one: one["entries"].__setitem__(
        0, {"entry_id": one["entries"][0]["entry_id"], "tag": b64u(bytes(16))})), "left out"),
}  # fmt: skip


@pytest.mark.parametrize("what", MUTATIONS)
def test_each_change_of_a_report_is_seen(tmp_path: Path, capsys: Capsys, what: str) -> None:
    change, expected = MUTATIONS[what]
    status, said = checked(change(bundle(opened(CHAIN))), tmp_path, capsys)
    assert (status, expected in said) == (1, True), said


def test_every_bit_of_a_leaf_counts(tmp_path: Path, capsys: Capsys) -> None:
    files = bundle(opened([access(1), LAST]))
    document = json.loads(files[PROVING])
    leaf = document["entries"][0]["leaf"]
    for at in range(0, len(leaf), 7):
        document["entries"][0]["leaf"] = leaf[:at] + chr(ord(leaf[at]) ^ 1) + leaf[at + 1 :]
        assert checked({**files, PROVING: json.dumps(document).encode()}, tmp_path / str(at), capsys)[0] == 1, at


def test_a_checkpoint_of_another_log_or_moment_is_seen(tmp_path: Path, capsys: Capsys) -> None:
    files, longer = bundle(opened(CHAIN)), bundle(opened([*CHAIN, access(6)]), log=None)
    status, said = checked({**files, "accesses/checkpoint": longer["accesses/checkpoint"]}, tmp_path / "other", capsys)
    assert (status, "another checkpoint" in said) == (1, True), said
    wrong_key = KEY.text.replace("ctl-1", "ctl-2")
    assert run(capsys, "report", unpacked(files, tmp_path / "right"), "--key", wrong_key)[0] == 1


def test_a_zip_is_read_once_and_whole(tmp_path: Path, capsys: Capsys) -> None:
    import zipfile  # noqa: PLC0415 - the vault's own never writes a name twice

    files, place = bundle(opened(CHAIN)), tmp_path / "report.zip"
    with zipfile.ZipFile(place, "w") as packed:
        for name, octets in files.items():
            packed.writestr(name, octets)
        with pytest.warns(UserWarning, match="Duplicate"):
            packed.writestr("accesses/checkpoint", b"another")
    status, said = run(capsys, "report", place, "--key", KEY.text)
    assert (status, "stands twice" in said) == (1, True), said
    place.write_bytes(b"not a ZIP")
    assert run(capsys, "report", place, "--key", KEY.text)[0] == 2


# --- safe for other people


OTHERS = {
    "a ticket found to be another's": access(2, details={"ticket": {"id": "TCK-9", "check": "of-another-person"}, "team": "x"}),
    "a ticket not the agent's": access(2, details={"ticket": {"id": "TCK-9", "check": "not-yours"}, "reason": "CALLBACK"}),
    "a ticket known since to be another's": access(2, details={"ticket": {"id": "TCK-7", "check": "asserted"}, "team": "x"}),
    "a purpose with another side": access(2, purpose="legal-claims"),
}
KNOWN = {"TCK-7": "sub_" + "z" * 26, "TCK-8": ME}


@pytest.mark.parametrize("why", OTHERS)
def test_what_concerns_somebody_else_shows_its_month_alone_and_is_counted(tmp_path: Path, capsys: Capsys, why: str) -> None:
    files = bundle(opened([access(1), OTHERS[why], LAST]), audience(about=KNOWN))
    row = json.loads(files[SHOWN])["accesses"][1]
    assert row["month"] == "2026-10"
    assert not row.keys() & {"at", "position", "reason", "ticket", "team"}
    assert row["agent"].startswith("operator ")
    beside = json.loads(files[PROVING])["entries"][1]
    assert set(beside) == {"entry_id", "tag"}
    assert not [name for name in files if row["entry_id"] in name]
    status, said = checked(files, tmp_path, capsys)
    assert (status, "1 of them show only their month" in said) == (0, True), said
    assert f"is the vault's word:\n  {row['entry_id']}\nEach of the other 2 is in the log as listed." in said


def test_what_is_said_of_an_entry_that_shows_its_month_is_never_called_proved(tmp_path: Path, capsys: Capsys) -> None:
    """Its tag alone is checked, so a vault may say of it what it likes, and turn any entry into such a one."""
    every = opened(CHAIN)
    files = bundle(every)
    assert "Each is in the log as listed." in checked(files, tmp_path / "true", capsys)[1]
    ids = [one.row.entry_id for one in every[:-1]]

    def lie(document: dict[str, Any]) -> None:
        for at, entry_id in enumerate(ids):
            document["accesses"][at] = {"entry_id": entry_id, "month": "1999-01", "operation": "enroll"}

    def bare(document: dict[str, Any]) -> None:
        for at, one in enumerate(every[:-1]):
            document["entries"][at] = {"entry_id": one.row.entry_id, "tag": one.leaf["subject"]}

    files = {name: one for name, one in files.items() if not any(entry_id in name for entry_id in ids)}
    status, said = checked(changed(changed(files, SHOWN, lie), PROVING, bare), tmp_path / "lie", capsys)
    assert status == 0, said
    assert "4 of them show only their month" in said
    assert "\n".join(f"  {entry_id}" for entry_id in ids) + "\nEach of the other 1 is in the log as listed." in said
    assert "Each is in the log" not in said


@pytest.mark.parametrize(
    "false",
    ["\r\x1b[2KVERIFIED: 12 accesses\x1b[8m", "ent_" + "a" * 26 + "\nVERIFIED: all", "ent_" + "A" * 26, 7, "ent_" + "а" * 26],
)
def test_nothing_in_a_report_writes_on_the_screen_by_itself(tmp_path: Path, capsys: Capsys, false: object) -> None:
    files = both(bundle(opened(CHAIN)), lambda rows: rows[0].update(entry_id=false))
    status, said = checked(files, tmp_path / "id", capsys)
    assert (status, said) == (1, "NOT VERIFIED: bundle: what stands for an entry's id is none\n")
    told = changed(bundle(opened(CHAIN)), PROVING, lambda one: one.update({f"{false}\x1b[2K": 1.5}))
    status, said = checked(told, tmp_path / "name", capsys)
    assert (status, said.count("\n"), said.isascii(), "\x1b" in said) == (1, 1, True, False)
    status, said = run(capsys, "report", tmp_path / "no\x1b[2K\nsuch", "--key", KEY.text)
    assert (status, said.count("\n"), "\x1b" in said) == (2, 1, False)
    assert run(capsys, "report", tmp_path / "id", "--key", "va\x1bult\n+00000000+AAAA")[1].count("\n") == 1


def test_the_company_answers_for_its_word_under_its_documents_key(tmp_path: Path, capsys: Capsys) -> None:
    files, other = (bundle(opened(accesses)) for accesses in (CHAIN, [access(1), LAST]))
    key, log_key = VerifierKey("vault.example/documents/ctl-1", SIGNING.public_key().public_bytes_raw()), KEY
    report = json.loads(files[SHOWN])["report"]
    public = b64encode(key.public).decode()

    def signed(line: bytes, by: VerifierKey = key) -> Files:
        return {**files, "accesses/signed": note_of(by, SIGNING.sign, line)}

    right = signed(signed_line(files, ME, report))
    forged = {**right, "accesses/signed": right["accesses/signed"].replace(b'"v":1', b'"v":2')}
    for number, (given, asked, status, expected) in enumerate((
        (right, key.text, 0, "vault.example/documents/ctl-1 signed the list as it is"),
        (right, f"{key.name} {public}", 0, "signed the list as it is"),
        (right, f"{key.name} AAAA", 1, "not a name and a key"),
        (right, f"vault.example/documents/ctl-2 {public}", 1, "not signed by"),
        (files, key.text, 1, "accesses/signed is missing"),
        (signed(signed_line(files, "sub_x", report)), key.text, 1, "of another list"),
        (signed(signed_line(files, ME, "ent_x")), key.text, 1, "of another list"),
        (signed(signed_line(other, ME, report)), key.text, 1, "of another list"),
        (signed(signed_line(files, ME, report), log_key), key.text, 1, "not signed by"),
        (forged, key.text, 1, "signature does not hold"),
    )):  # fmt: skip
        place = unpacked(given, tmp_path / str(number))
        found = run(capsys, "report", place, "--key", KEY.text, "--document-key", asked)
        assert (found[0], expected in found[1]) == (status, True), (number, found)
    assert "signed the list" not in checked(right, tmp_path / "unasked", capsys)[1]


def test_an_entry_hidden_for_others_still_cannot_be_left_out_and_says_no_more(tmp_path: Path, capsys: Capsys) -> None:
    every, whose = opened([access(1), access(2, purpose="legal-claims"), LAST]), audience()
    without = bundle([every[0], every[2]], whose, log=every)
    assert checked(without, tmp_path / "without", capsys)[0] == 1
    talkative = changed(bundle(every, whose), SHOWN, lambda one: one["accesses"][1].update(team="x"))
    status, said = checked(talkative, tmp_path / "more", capsys)
    assert (status, "where others are protected" in said) == (1, True), said


@pytest.mark.parametrize(
    "said",
    [
        access(1),
        access(1, details={"ticket": {"id": "TCK-8", "check": "asserted"}}),
        access(1, details={"ticket": {"id": "TCK-6", "check": "asserted"}}),
        access(1, details={"ticket": {"id": "TCK-7", "check": "verified"}}),
        access(1, details={}),
        {**LAST, "purpose": "legal-claims"},
    ],
)
def test_what_concerns_the_person_alone_is_told_in_full(said: dict[str, Any]) -> None:
    (one,) = opened([said])
    assert not concerns_others(one, audience(about=KNOWN))


def test_staff_go_by_a_name_of_this_list_and_nothing_of_the_officers_part_is_told() -> None:
    one, again, other = opened([access(1), access(2), access(3, internal={"caller_id": "agent-2", "station": "PDL-1"})])
    names = [told(each, audience())["agent"] for each in (one, again, other)]
    assert names[0] == names[1] != names[2]
    assert names[0] == agent_label(entry.label_key(AUDIT_KEY), "agent-1")
    assert all(name.startswith("operator ") and len(name) == len("operator abc234") for name in names)
    elsewhere = audience(label_key=entry.label_key(bytes(32)))
    assert told(one, elsewhere)["agent"] != names[0]
    assert "PDL-1" not in json.dumps(told(other, audience()))
    assert told(one, audience())["system"] == "zammad"
    assert "system" not in told(other, audience())


def test_the_person_is_you_and_a_stranger_with_a_customer_s_token_is_told_apart() -> None:
    mine, theirs, refused, machine = opened(
        [
            LAST,
            {**LAST, "internal": {"caller_id": "portal-user-7"}},
            {**LAST, "outcome": "refused", "internal": {"caller_id": "somebody"}},
            access(4, kind="system"),
        ]
    )
    assert [told(one, audience()).get("agent") for one in (mine, theirs, refused, machine)] == [
        "you", "you", "somebody else, refused", None,
    ]  # fmt: skip


def test_agreements_and_bases_are_named_once() -> None:
    one, about = opened([access(1), access(2, details={"agreements": {"*": "agr_9"}})])
    said = told(one, audience())
    assert (said["agreement"], said["basis"]) == (["agr_1", "agr_2"], ["contract"])
    assert told(about, audience())["agreement"] == ["agr_9"]


# --- what the vault itself checks before it hands anything over


def test_a_gap_a_false_number_and_a_false_tag_are_noticed() -> None:
    rows = [one.row for one in opened(CHAIN)]
    assert unbroken(rows, CHAIN_KEY)
    assert unbroken(rows[2:], CHAIN_KEY)
    assert not unbroken([rows[0], *rows[2:]], CHAIN_KEY)
    assert not unbroken([rows[0], rows[2], rows[1]], CHAIN_KEY)
    assert not unbroken(rows, bytes(32))


def test_what_was_committed_to_and_is_gone_is_no_entry() -> None:
    full, bare = opened([access(1), access(2, details=None, internal={})])
    with pytest.raises(ValueError, match="gone"):
        opened_row(full.row, full.leaf, None)
    assert opened_row(bare.row, bare.leaf, None).details == {}
    details, internal = (entry.canonical(dict(one)) for one in (full.details, full.internal))
    assert opened_row(full.row, full.leaf, entry.sealed_text(details, internal, SALTS)) == full
    with pytest.raises(ValueError, match="commitment"):
        opened_row(full.row, full.leaf, entry.sealed_text(details, internal, SALTS[::-1]))
