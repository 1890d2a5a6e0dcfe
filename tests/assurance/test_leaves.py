"""What the entries of every operation say and do not say: no leaf holds what is anybody's, nothing sealed beside one is a value."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import orjson
import psycopg
import pytest

from tests.assurance.desk import Desk
from tests.assurance.lone import RETAIL, Lone
from tests.makers import make_subject
from tests.publishers import describe
from vault.audit.checkpoint import parse_note
from vault.operations import hand_over_accesses
from vault.policy.lexicon import ROLES
from vault.policy.model import Channel

WORDS = ("operation", "outcome", "kind", "roles", "recipient", "purpose", "channel", "fields", "terms")  # of closed lists
OURS = ("bundle", "writer")
OUTCOMES = {"allowed", "partial", "refused", "failed", "done"}
KINDS = {"agent", "system", "dpo", "subject", "operator", "job"}
AGAIN = (  # what a caller does over and over about one person
    *("readProfile", "findSubjects", "revealFields", "verifyField", "listAgreements", "readReceipt", "listAccesses", "restrict"),
)
LEVELS = {"clear", "token", "withheld", "absent", "verified"}  # the last of what was compared and not shown


@dataclass(frozen=True)
class Driven:
    """What every operation, some asked twice, left in the log of one controller; what was signed meanwhile, by which key."""

    lone: Lone
    leaves: list[tuple[str, str | None, Mapping[str, Any]]]  # person, caller, members
    octets: bytes
    signed: list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def driven(shared_desk: Desk) -> Driven:
    desk, signed = shared_desk, list[tuple[str, bytes]]()
    describe(desk.vault.settings, desk.controller_id)
    made = make_subject(desk.vault, desk.controller_id, RETAIL, ("retail",))
    lone = Lone(desk, None, desk.vault.settings, made.subject_id, made.agreements[0], desk.ticket(made.subject_id, "t2"))  # type: ignore[arg-type]
    keyring, sign = desk.opened.keyring, desk.opened.keyring.sign

    def noting(key: str, message: bytes) -> bytes:
        signed.append((key, message))
        return sign(key, message)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keyring, "sign", noting)
        patched.setattr(desk.opened.signer, "_sign", noting)
        patched.setattr(hand_over_accesses, "LONGEST_WAIT_S", 0.1)  # for a checkpoint that comes once a minute
        desk.client.headers["Prefer"] = "audit-receipt"
        for requests in (lone.requests(), {name: lone.requests()[name] for name in AGAIN}):
            for request in requests.values():
                request()
        del desk.client.headers["Prefer"]
        desk.opened.trail.settle(desk.controller_id)
    with psycopg.connect(desk.opened.addresses.url) as owner:
        rows = owner.execute(
            "SELECT l.subject_id, l.caller_id, e.leaf FROM vault.audit_entry e JOIN vault.audit_lookup l"
            " USING (controller_id, era, position) WHERE controller_id = %s",
            (desk.controller_id,),
        ).fetchall()
    leaves = [(subject_id, caller_id, orjson.loads(leaf)) for subject_id, caller_id, leaf in rows]
    return Driven(lone, leaves, b"\n".join(bytes(leaf) for *_, leaf in rows), signed)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)


def test_every_word_of_a_leaf_is_of_a_closed_list(driven: Driven) -> None:
    vault = driven.lone.desk.vault
    lexicon, masks = vault.policy.lexicon, {mask for one in vault.policy.lexicon.fields for mask, _ in one.ladder}
    known = {
        "outcome": OUTCOMES, "kind": KINDS, "roles": {*ROLES, "customer"}, "recipient": set(lexicon.recipients),
        "purpose": set(lexicon.purposes), "channel": {*get_args(Channel)},
        "fields": LEVELS | {f"masked:{mask}" for mask in masks}, "terms": set(lexicon.terms),
    }  # fmt: skip
    for *_, leaf in driven.leaves:
        for name, words in known.items():
            assert set(strings(leaf.get(name, []))) <= words, (leaf["operation"], name)
        assert set(leaf.get("fields", {})) <= set(vault.catalogue.fields)


def test_two_entries_of_a_caller_about_a_person_share_nothing_else(driven: Driven) -> None:
    """But for the entry that says what became of an act: it names the entry of the act (`ref`)."""
    together: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for subject_id, caller_id, leaf in driven.leaves:
        if subject_id != "-":
            together.setdefault((subject_id, caller_id), []).append(leaf)
    assert max(map(len, together.values())) > 10
    for leaves in together.values():
        met = Counter(
            one for leaf in leaves for one in {*strings({name: leaf[name] for name in leaf.keys() - {*WORDS, *OURS, "ref"}})}
        )
        assert [one for one, times in met.items() if times > 1] == []
        refs = [leaf["ref"] for leaf in leaves if "ref" in leaf]
        assert len(set(refs)) == len(refs)


def test_no_leaf_names_anybody_or_anything_of_theirs(driven: Driven) -> None:
    lone, callers = driven.lone, {one for _, one, _ in driven.leaves if one and one not in KINDS}
    people = {subject_id for subject_id, *_ in driven.leaves if len(subject_id) > 1}
    assert len(people) >= 1 < len(callers)
    values = [one for one in strings(dict(RETAIL)) if len(one) > 5]
    named = (*people, *callers, lone.agreement_id, lone.ticket, *values)
    assert [one for one in named if one.encode() in driven.octets] == []


def test_what_is_sealed_beside_an_entry_holds_no_value(driven: Driven) -> None:
    desk, values = driven.lone.desk, [one for one in strings(dict(RETAIL)) if len(one) > 5]
    opened = [desk.entry(leaf["id"]) for *_, leaf in driven.leaves if "details" in leaf]
    told = [orjson.dumps([one.details, one.internal]).decode() for one in opened]
    assert sum('"caller_id"' in one for one in told) > 60
    assert [(value, one) for value in values for one in told if value in one] == []


def test_what_the_log_s_key_signs_is_a_checkpoint_and_no_other_text_begins_like_one(driven: Driven) -> None:
    desk = driven.lone.desk
    host = desk.vault.settings.host.encode()
    checkpoints = [message for key, message in driven.signed if key.startswith("audit-sign/")]
    others = [message for key, message in driven.signed if not key.startswith("audit-sign/")]
    assert {key for key, _ in driven.signed} == {"audit-sign/1", "audit-receipt/1", "document-sign/1"}
    for body in checkpoints:
        text = body.decode()
        note = parse_note(f"{text}\n\N{EM DASH} {text.partition(chr(10))[0]} {'A' * 91}=\n")
        assert note.checkpoint.body.encode() == body
    assert [one for one in others if one.startswith(host + b"/audit/")] == []
