import itertools
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.queues import Queue
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.keys.makers import AGREEMENT, CLASS, CONTROLLER, SUBJECT, as_read, make_class, make_permit
from vault.errors import InvalidValue, Stale, Unreadable
from vault.keys import data_keys, envelope, frame
from vault.keys.controller_keys import ControllerKeys
from vault.keys.data_keys import (
    AmendedClass,
    Changes,
    NewValue,
    SealedClass,
    amend_classes,
    new_audit_key,
    open_bytes,
    open_fields,
    seal_bytes,
    seal_class,
    unwrap_audit_key,
    wraps_for,
)
from vault.permit import ReadPermit

VALUES = {"email": "ada@example.org", "phone": "+390212345678", "newsletter": True, "address": {"city": "Forlì", "floor": 3}}


def refused(opening: Callable[[], object]) -> bool:
    """Whether it fails, and with the one answer that tells nothing."""
    with pytest.raises(Unreadable) as caught:
        opening()
    error = caught.value
    return (str(error), error.faults, error.decision_id, error.entry_id, error.__cause__) == ("unreadable", (), None, None, None)


def granting(fields: Sequence[str] = tuple(VALUES), agreement: str = AGREEMENT, **where: str) -> ReadPermit:
    return make_permit(dict.fromkeys(fields, agreement), **where)  # type: ignore[arg-type]


def shown(keys: ControllerKeys, sealed: Sequence[SealedClass], permit: ReadPermit) -> dict[str, Any]:
    return {name: clear.value for name, clear in open_fields(keys, permit, sealed, at=0.0).items()}


_leaf = st.one_of(st.text(max_size=40), st.booleans(), st.integers(-(2**63), 2**64 - 1))
_value = st.one_of(
    _leaf, st.dictionaries(st.text(max_size=8), st.one_of(_leaf, st.none(), st.lists(_leaf, max_size=3)), max_size=4)
)


# --- opening and sealing ---


@given(values=st.dictionaries(st.text(min_size=1, max_size=20), _value, max_size=12))
@settings(max_examples=60)
def test_opening_gives_back_the_values(keys: ControllerKeys, values: dict[str, Any]):
    sealed = make_class(keys, values)
    assert shown(keys, [sealed], granting(list(values))) == values


def test_only_the_fields_of_the_permit_are_opened(keys: ControllerKeys):
    sealed = [make_class(keys, VALUES), make_class(keys, {"iban": "IT60X0542811101000000123456"}, class_name="financial")]
    assert shown(keys, sealed, granting(["phone", "iban", "nickname"])) == {
        "phone": VALUES["phone"],
        "iban": "IT60X0542811101000000123456",
    }
    assert shown(keys, sealed, granting([])) == {}
    assert shown(keys, [], granting()) == {}


def test_a_field_said_to_have_no_value_is_authenticated_and_a_stand_in_opened(
    keys: ControllerKeys, monkeypatch: pytest.MonkeyPatch
):
    opened: list[None] = []
    really = data_keys._open_stand_in
    monkeypatch.setattr(data_keys, "_open_stand_in", lambda: opened.append(really()))
    one = make_class(keys, VALUES)
    assert open_fields(keys, granting(["nickname"]), [one], at=0.0, absent={CLASS: AGREEMENT}) == {}
    assert open_fields(keys, granting(["iban"]), [], at=0.0, absent={"financial": AGREEMENT}) == {}
    assert len(opened) == 2
    assert refused(lambda: open_fields(keys, granting(["nickname"]), [replace(one, manifest=bytes(16))], 0.0, {CLASS: AGREEMENT}))


def test_what_was_opened_is_not_printed(keys: ControllerKeys):
    opened = open_fields(keys, granting(), [make_class(keys, VALUES)], at=0.0)
    assert "ada" not in repr(opened)
    assert "ada" not in repr(NewValue("email", "ada@example.org", AGREEMENT, 1))
    assert repr(keys) == "***"


def test_a_short_value_takes_as_much_room_as_a_longer_one(keys: ControllerKeys):
    sealed = make_class(keys, {"a": True, "b": "no", "c": "negative", "d": 12345, "e": "1985-12-10"})
    assert {len(entry.envelope) for entry in frame.read(sealed.frame).unpacked().values()} == {34 + 32}


@pytest.mark.parametrize(
    "value",
    [1.5, None, {"a": 1.5}, {"a": [1.5]}, {1: "a"}, b"bytes", object(), 2**64, "\ud800", float("nan"), ("a",), {"a": ("b",)}],
)
def test_what_is_no_storable_value_is_refused_without_repeating_it(keys: ControllerKeys, value: object):
    with pytest.raises(InvalidValue) as caught:
        make_class(keys, {"email": value})
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/email", "value.kind")]
    assert caught.value.__cause__ is None


def test_a_value_above_16_kib_is_refused(keys: ControllerKeys):
    assert shown(keys, [make_class(keys, {"note": "x" * 16_382})], granting(["note"])) == {"note": "x" * 16_382}
    with pytest.raises(InvalidValue) as caught:
        make_class(keys, {"note": "x" * 16_383})
    assert caught.value.faults[0].code == "value.too-long"


def test_a_key_that_nobody_holds_is_not_made(keys: ControllerKeys):
    with pytest.raises(ValueError, match="no agreement, no key"):
        make_class(keys, VALUES, holders=())


# --- no agreement, no key ---


def test_each_field_opens_through_the_agreement_its_decision_rests_on(keys: ControllerKeys):
    sealed = make_class(keys, VALUES, holders=("agr-1", "agr-2", "agr-3"), collected="agr-9")
    permit = make_permit({"email": "agr-2", "phone": "agr-3"})
    assert shown(keys, [sealed], permit) == {name: VALUES[name] for name in ("email", "phone")}


def test_a_decision_on_an_agreement_that_holds_no_key_opens_nothing(keys: ControllerKeys):
    # the policy says yes; the agreement has ended, or never granted the class, so there is no wrap
    sealed = make_class(keys, VALUES, holders=("agr-1", "agr-2"))
    ended = replace(sealed, wraps={"agr-2": sealed.wraps["agr-2"]})
    assert refused(lambda: open_fields(keys, granting(["email"]), [ended], at=0.0))
    assert refused(lambda: open_fields(keys, make_permit({"email": "agr-2", "phone": "agr-1"}), [ended], at=0.0))
    assert shown(keys, [ended], make_permit({"email": "agr-2"})) == {"email": VALUES["email"]}


def test_an_agreement_cannot_use_the_wrap_of_another(keys: ControllerKeys):
    sealed = make_class(keys, VALUES, holders=("agr-1", "agr-2"))
    lent = replace(sealed, wraps={"agr-1": sealed.wraps["agr-2"], "agr-2": sealed.wraps["agr-1"]})
    assert refused(lambda: open_fields(keys, granting(), [lent], at=0.0))


# --- the permit ---


def test_a_permit_opens_once(keys: ControllerKeys):
    sealed, permit = make_class(keys, VALUES), granting()
    open_fields(keys, permit, [sealed], at=0.0)
    assert refused(lambda: open_fields(keys, permit, [sealed], at=0.0))


def test_a_permit_is_spent_even_where_nothing_opens(keys: ControllerKeys):
    sealed, permit = make_class(keys, VALUES), granting()
    assert refused(lambda: open_fields(keys, permit, [replace(sealed, wraps={})], at=0.0))
    assert refused(lambda: open_fields(keys, permit, [sealed], at=0.0))


def test_an_old_permit_opens_nothing(keys: ControllerKeys):
    sealed = make_class(keys, VALUES)
    assert refused(lambda: open_fields(keys, granting(), [sealed], at=30.1))
    assert open_fields(keys, granting(), [sealed], at=30.0)


@pytest.mark.parametrize("where", [{"subject_id": "sub-2"}, {"controller_id": "ctl-2"}])
def test_a_permit_for_another_opens_nothing(keys: ControllerKeys, where: dict[str, str]):
    sealed = make_class(keys, VALUES)
    assert refused(lambda: open_fields(keys, granting(**where), [sealed], at=0.0))
    own = make_class(keys, {"iban": "x"}, class_name="financial", **where)  # type: ignore[arg-type]
    assert refused(lambda: open_fields(keys, granting(**where), [own, sealed], at=0.0))


# --- what is changed in the tables ---

OTHERS = {
    "controller": {"controller_id": "ctl-2"},
    "subject": {"subject_id": "sub-2"},
    "class": {"class_name": "special"},
    "generation": {"generation": 2},
    "agreement": {"collected": "agr-2", "holders": ("agr-2",)},
    "key": {},
}
PARTS = ("commit", "manifest", "frame", "wraps")


def twin(keys: ControllerKeys, difference: str) -> SealedClass:
    return make_class(keys, VALUES, **OTHERS[difference])  # type: ignore[arg-type]


def moved(sealed: SealedClass, other: SealedClass, parts: Sequence[str]) -> SealedClass:
    return replace(sealed, **{part: getattr(other, part) for part in parts})


SOME_PARTS = [parts for size in (1, 2, 3, 4) for parts in itertools.combinations(PARTS, size)]
MOVES = [(difference, parts) for difference in OTHERS for parts in SOME_PARTS if (difference, parts) != ("key", PARTS)]


@pytest.mark.parametrize(("difference", "parts"), MOVES)
def test_rows_moved_from_another_place_do_not_open(keys: ControllerKeys, difference: str, parts: tuple[str, ...]):
    sealed, other = make_class(keys, VALUES), twin(keys, difference)
    changed = moved(sealed, other, parts)
    if difference == "agreement" and "wraps" in parts:
        changed = replace(changed, wraps={AGREEMENT: other.wraps["agr-2"]})
    assert refused(lambda: open_fields(keys, granting(), [changed], at=0.0))


def test_a_row_renamed_to_another_place_does_not_open(keys: ControllerKeys):
    sealed = make_class(keys, VALUES)
    for change in ({"class_name": "special"}, {"generation": 2}, {"generation": 0}, {"generation": -1}, {"generation": 2**32}):
        assert refused(lambda change=change: open_fields(keys, granting(), [replace(sealed, **change)], at=0.0))  # type: ignore[misc]
    for where in ({"subject_id": "sub-2"}, {"controller_id": "ctl-2"}):
        renamed = replace(sealed, **where)  # type: ignore[arg-type]
        assert refused(lambda where=where, renamed=renamed: open_fields(keys, granting(**where), [renamed], at=0.0))  # type: ignore[misc]


@pytest.mark.parametrize("epoch", [6, 8, 0, -1, 2**32])
def test_a_wrap_said_to_be_of_another_epoch_does_not_open(keys: ControllerKeys, epoch: int):
    sealed = make_class(keys, VALUES)
    wrap = sealed.wraps[AGREEMENT][1]
    assert refused(lambda: open_fields(keys, granting(), [replace(sealed, wraps={AGREEMENT: (epoch, wrap)})], at=0.0))


@given(part=st.sampled_from(PARTS), bit=st.integers(0, 10_000))
@settings(max_examples=250)
def test_any_flipped_bit_is_refused(keys: ControllerKeys, part: str, bit: int):
    sealed = make_class(keys, {"email": "ada@example.org", "phone": "+390212345678"})
    epoch, wrap = sealed.wraps[AGREEMENT]
    octets = wrap if part == "wraps" else getattr(sealed, part)
    at = bit % (len(octets) * 8)
    changed = bytes(byte ^ (1 << at % 8) if index == at // 8 else byte for index, byte in enumerate(octets))
    broken = replace(sealed, **{part: {AGREEMENT: (epoch, changed)} if part == "wraps" else changed})  # type: ignore[arg-type]
    assert refused(lambda: open_fields(keys, granting(["email", "phone"]), [broken], at=0.0))


def key_of(keys: ControllerKeys, sealed: SealedClass) -> tuple[bytes, bytes]:
    """The data key and its scope: what an attacker has not, and a mistake of ours might."""
    scope = envelope.scope(sealed.controller_id, sealed.subject_id, sealed.class_name, sealed.generation)
    epoch, wrap = sealed.wraps[AGREEMENT]
    place = envelope.wrap_place(scope, "agreement", AGREEMENT)
    return envelope.unwrap_key(keys.key(sealed.controller_id, epoch), place, epoch, wrap), scope


def reframed(keys: ControllerKeys, sealed: SealedClass, packed: bytes) -> SealedClass:
    """A frame with a manifest that fits it: only the places of its values speak against it."""
    key, scope = key_of(keys, sealed)
    return replace(sealed, frame=packed, manifest=envelope.manifest(key, scope, packed))


def test_values_swapped_inside_a_frame_do_not_open_even_under_a_fitting_manifest(keys: ControllerKeys):
    sealed = make_class(keys, VALUES)
    entries = frame.read(sealed.frame).unpacked()
    for one, other in itertools.combinations(entries.values(), 2):
        swapped = entries | {one.field: one._replace(envelope=other.envelope), other.field: other._replace(envelope=one.envelope)}
        changed = reframed(keys, sealed, frame.encode(swapped.values()))
        assert refused(lambda changed=changed, one=one: open_fields(keys, granting([one.field]), [changed], at=0.0))  # type: ignore[misc]


@pytest.mark.parametrize("change", [{"value_version": 2}, {"agreement_id": "agr-2"}, {"field": "emails"}])
def test_a_value_said_to_be_another_does_not_open_even_under_a_fitting_manifest(keys: ControllerKeys, change: dict[str, Any]):
    sealed = make_class(keys, {"email": "ada@example.org"})
    (entry,) = frame.read(sealed.frame).unpacked().values()
    changed = reframed(keys, sealed, frame.encode([entry._replace(**change)]))
    assert refused(lambda: open_fields(keys, granting(["email", "emails"]), [changed], at=0.0))


def test_a_value_that_is_no_json_is_unreadable(keys: ControllerKeys):
    sealed = make_class(keys, {"email": "ada@example.org"})
    key, _ = key_of(keys, sealed)
    place = envelope.field_place(CONTROLLER, SUBJECT, CLASS, "email", 1, AGREEMENT)
    broken = frame.FrameEntry("email", 1, AGREEMENT, envelope.seal_value(key, place, 1, bytes(12), b'"ada'))
    assert refused(lambda: open_fields(keys, granting(), [reframed(keys, sealed, frame.encode([broken]))], at=0.0))


def test_a_class_whose_values_are_of_another_generation_does_not_open(keys: ControllerKeys):
    sealed = make_class(keys, {"email": "ada@example.org"})
    key, _ = key_of(keys, sealed)
    place = envelope.field_place(CONTROLLER, SUBJECT, CLASS, "email", 1, AGREEMENT)
    later = frame.FrameEntry("email", 1, AGREEMENT, envelope.seal_value(key, place, 2, bytes(12), b'"ada"'))
    assert refused(lambda: open_fields(keys, granting(), [reframed(keys, sealed, frame.encode([later]))], at=0.0))


def test_a_frame_rolled_back_to_an_older_one_does_not_open(keys: ControllerKeys):
    before = make_class(keys, VALUES)
    after = written(before, amended(keys, before, Changes([NewValue("email", "ada@example.com", AGREEMENT, 2)])))
    assert refused(lambda: open_fields(keys, granting(), [replace(after, frame=before.frame)], at=0.0))
    assert shown(keys, [after], granting(["email"])) == {"email": "ada@example.com"}


def test_a_class_sealed_anew_under_another_key_does_not_pass_the_commitment(keys: ControllerKeys):
    # by one who can use the controller key and rewrites wrap, frame and manifest: only the commitment in the key's row is left
    sealed = make_class(keys, {"email": "ada@example.org"})
    _, scope = key_of(keys, sealed)
    own = bytes(32)
    place = envelope.field_place(CONTROLLER, SUBJECT, CLASS, "email", 1, AGREEMENT)
    packed = frame.encode([frame.FrameEntry("email", 1, AGREEMENT, envelope.seal_value(own, place, 1, bytes(12), b'"eve"'))])
    wraps = {AGREEMENT: keys.wrap(CONTROLLER, envelope.wrap_place(scope, "agreement", AGREEMENT), own)}
    forged = replace(sealed, wraps=wraps, frame=packed, manifest=envelope.manifest(own, scope, packed))
    assert refused(lambda: open_fields(keys, granting(), [forged], at=0.0))
    accepted = replace(forged, commit=envelope.commitment(own, scope))
    assert shown(keys, [accepted], granting()) == {"email": "eve"}


# --- amending ---


def written(sealed: SealedClass, change: AmendedClass) -> SealedClass:
    assert change.manifest_before == sealed.manifest
    return replace(sealed, frame=change.frame, manifest=change.manifest)


def amended(keys: ControllerKeys, sealed: SealedClass, change: Changes, through: str = AGREEMENT) -> AmendedClass:
    (made,) = amend_classes(keys, granting(agreement=through), [sealed], {CLASS: change}, {CLASS: through}, at=0.0)
    return made


def test_amending_sets_and_removes_and_copies_the_rest_unopened(keys: ControllerKeys):
    before = make_class(keys, VALUES)
    change = Changes(
        [NewValue("email", "ada@example.com", "agr-2", 2), NewValue("nickname", "ada", "agr-2", 2)], frozenset({"phone", "fax"})
    )
    made = amended(keys, before, change)
    after = written(before, made)
    expected = {**VALUES, "email": "ada@example.com", "nickname": "ada"}
    del expected["phone"]
    assert shown(keys, [after], granting([*VALUES, "nickname"])) == expected
    old, new = frame.read(before.frame).unpacked(), frame.read(after.frame).unpacked()
    assert new["address"] == old["address"]
    assert (new["email"].value_version, new["email"].agreement_id) == (2, "agr-2")
    assert made.seals == 2
    assert [(row.field, row.value_version, row.envelope) for row in made.history] == [
        (name, 1, old[name].envelope) for name in ("email", "phone")
    ]


def test_removing_everything_leaves_an_empty_frame(keys: ControllerKeys):
    before = make_class(keys, {"email": "ada@example.org"})
    after = written(before, amended(keys, before, Changes(removed=frozenset({"email"}))))
    assert frame.read(after.frame).unpacked() == {}
    again = written(after, amended(keys, after, Changes([NewValue("email", "a", AGREEMENT, 3)])))
    assert shown(keys, [again], granting(["email"])) == {"email": "a"}


def test_only_the_changed_classes_are_amended(keys: ControllerKeys):
    contact, financial = make_class(keys, VALUES), make_class(keys, {"iban": "x"}, class_name="financial")
    changes = {"financial": Changes([NewValue("iban", "y", AGREEMENT, 2)])}
    (made,) = amend_classes(keys, granting(), [contact, financial], changes, {"financial": AGREEMENT}, at=0.0)
    assert made.class_name == "financial"


@pytest.mark.parametrize("version", [0, 1])
def test_a_value_that_is_not_newer_is_stale(keys: ControllerKeys, version: int):
    sealed = make_class(keys, VALUES)
    with pytest.raises(Stale):
        amended(keys, sealed, Changes([NewValue("email", "ada@example.com", AGREEMENT, version)]))


def test_a_class_that_is_gone_is_stale(keys: ControllerKeys):
    with pytest.raises(Stale):
        amend_classes(keys, granting(), [], {CLASS: Changes()}, {CLASS: AGREEMENT}, at=0.0)
    with pytest.raises(Stale):
        wraps_for(keys, granting(), [], {CLASS: AGREEMENT}, "agr-2", at=0.0)


Writing = Callable[[ControllerKeys, ReadPermit, SealedClass, Mapping[str, str], float], object]


def _amending(keys: ControllerKeys, permit: ReadPermit, sealed: SealedClass, through: Mapping[str, str], at: float) -> object:
    change = Changes([NewValue("email", "x", AGREEMENT, 2)])
    return amend_classes(keys, permit, [sealed], {sealed.class_name: change}, through, at)


def _wrapping(keys: ControllerKeys, permit: ReadPermit, sealed: SealedClass, through: Mapping[str, str], at: float) -> object:
    return wraps_for(keys, permit, [sealed], through, "agr-2", at)


@pytest.mark.parametrize("writing", [_amending, _wrapping])
def test_writing_needs_a_permit_and_the_wrap_of_the_agreement_named(keys: ControllerKeys, writing: Writing):
    sealed, through = make_class(keys, VALUES), {CLASS: AGREEMENT}
    used = granting()
    open_fields(keys, used, [sealed], at=0.0)
    assert refused(lambda: writing(keys, used, sealed, through, 0.0))
    assert refused(lambda: writing(keys, granting([]), sealed, through, 0.0))  # a refusal's permit names no agreement
    assert refused(lambda: writing(keys, granting(), sealed, through, 30.1))
    assert refused(lambda: writing(keys, granting(subject_id="sub-2"), sealed, through, 0.0))
    assert refused(lambda: writing(keys, granting(controller_id="ctl-2"), sealed, through, 0.0))
    assert refused(lambda: writing(keys, granting(), sealed, {CLASS: "agr-2"}, 0.0))
    assert refused(lambda: writing(keys, granting(), replace(sealed, commit=bytes(32)), through, 0.0))
    assert refused(lambda: writing(keys, granting(), replace(sealed, generation=-1), through, 0.0))
    assert writing(keys, granting(), sealed, through, 0.0)


def test_amending_a_frame_that_is_not_the_latest_is_refused(keys: ControllerKeys):
    sealed, other = make_class(keys, VALUES), make_class(keys, VALUES)
    assert refused(lambda: amended(keys, replace(sealed, manifest=other.manifest), Changes()))
    assert refused(lambda: amended(keys, sealed, Changes(), through=""))


def test_another_agreement_opens_through_a_wrap_of_its_own(keys: ControllerKeys):
    sealed = make_class(keys, VALUES)
    (made,) = wraps_for(keys, granting(), [sealed], {CLASS: AGREEMENT}, "agr-2", at=0.0)
    assert (made.class_name, made.generation, made.holder_kind, made.holder_id) == (CLASS, 1, "agreement", "agr-2")
    superseded = replace(sealed, wraps={"agr-2": (made.epoch, made.wrap)})
    assert shown(keys, [superseded], granting(agreement="agr-2")) == VALUES
    assert refused(lambda: open_fields(keys, granting(), [superseded], at=0.0))


# --- nonces and keys ---


def nonces(sealed: SealedClass) -> list[bytes]:
    return [entry.envelope[6:18] for entry in frame.read(sealed.frame).unpacked().values()] + [
        wrap[7:19] for _, wrap in sealed.wraps.values()
    ]


def _seal_many(keys: ControllerKeys, found: "Queue[list[bytes]]") -> None:
    values = {f"field {at}": at for at in range(40)}
    found.put([nonce for _ in range(50) for nonce in nonces(make_class(keys, values))])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # workers fork on purpose
def test_forked_workers_never_draw_the_same_nonce(keys: ControllerKeys):
    keys.current(CONTROLLER)
    fork = multiprocessing.get_context("fork")
    found: Queue[list[bytes]] = fork.Queue()
    workers = [fork.Process(target=_seal_many, args=(keys, found)) for _ in range(4)]
    for worker in workers:
        worker.start()
    drawn = [nonce for _ in workers for nonce in found.get(timeout=60)]
    for worker in workers:
        worker.join(60)
    assert len(drawn) == len(set(drawn)) == 4 * 50 * 41


def test_every_class_gets_a_key_of_its_own(keys: ControllerKeys):
    made = [key_of(keys, make_class(keys, VALUES))[0] for _ in range(20)]
    assert len(set(made)) == 20


# --- audit keys, details ---


def test_an_audit_key_opens_for_its_subject_only(keys: ControllerKeys):
    key, epoch, wrap = new_audit_key(keys, CONTROLLER, SUBJECT)
    assert unwrap_audit_key(keys, CONTROLLER, SUBJECT, epoch, wrap) == key
    assert refused(lambda: unwrap_audit_key(keys, CONTROLLER, "sub-2", epoch, wrap))
    assert refused(lambda: unwrap_audit_key(keys, "ctl-2", SUBJECT, epoch, wrap))
    assert refused(lambda: unwrap_audit_key(keys, CONTROLLER, SUBJECT, epoch + 1, wrap))
    assert new_audit_key(keys, CONTROLLER, SUBJECT)[0] != key


@given(clear=st.binary(max_size=500))
@settings(max_examples=30)
def test_details_open_at_their_place_only(clear: bytes):
    sealed = seal_bytes(bytes(32), b"place", clear)
    assert open_bytes(bytes(32), b"place", sealed) == clear
    assert refused(lambda: open_bytes(bytes(32), b"other", sealed))
    assert refused(lambda: open_bytes(bytes(31) + b"\1", b"place", sealed))


def test_a_new_class_is_what_its_rows_say(keys: ControllerKeys):
    new = [NewValue("email", "a", "agr-1", 5), NewValue("phone", "b", "agr-2", 6)]
    made = seal_class(keys, CONTROLLER, SUBJECT, CLASS, "dk_9", new, ["agr-1", "agr-2"], generation=3)
    assert (made.class_name, made.generation, made.data_key_id, made.seals, made.history) == (CLASS, 3, "dk_9", 2, ())
    assert [(wrap.class_name, wrap.generation, wrap.holder_kind, wrap.holder_id, wrap.epoch) for wrap in made.wraps] == [
        (CLASS, 3, "agreement", "agr-1", 7),
        (CLASS, 3, "agreement", "agr-2", 7),
    ]
    assert shown(keys, [as_read(CONTROLLER, SUBJECT, made)], granting(["email", "phone"])) == {"email": "a", "phone": "b"}
