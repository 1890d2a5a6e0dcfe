"""Drafts: what is proposed opens for what proposed it, in its class and generation, through the agreement named; nowhere else."""

from dataclasses import replace

import pytest

from tests.keys.makers import AGREEMENT, CLASS, make_class, make_permit
from vault.errors import Stale, Unreadable
from vault.keys import frame
from vault.keys.controller_keys import ControllerKeys
from vault.keys.data_keys import NewValue, SealedClass, open_fields
from vault.keys.drafts import Draft, open_drafts, seal_drafts

OF = "req_1/1"
NEW = {"email": "nuova@example.it", "phone": "+390212345678"}


@pytest.fixture
def sealed(keys: ControllerKeys) -> SealedClass:
    return make_class(keys, {"email": "vecchia@example.it"}, holders=(AGREEMENT, "agr-2"))


def draft(keys: ControllerKeys, sealed: SealedClass, of: str = OF) -> Draft:
    values = [NewValue(name, value, AGREEMENT, 1) for name, value in NEW.items()]
    (made,) = seal_drafts(keys, make_permit(dict.fromkeys(NEW, AGREEMENT)), [sealed], {CLASS: values}, AGREEMENT, of, 0.0)
    return made


def opened(
    keys: ControllerKeys, sealed: SealedClass, one: Draft, of: str = OF, *names: str, agreement: str = AGREEMENT
) -> dict[str, object]:
    permit = make_permit(dict.fromkeys(names or NEW, agreement))
    return {name: clear.value for name, clear in open_drafts(keys, permit, [sealed], [one], of, 0.0).items()}


def test_what_was_proposed_is_opened_field_by_field(keys: ControllerKeys, sealed: SealedClass) -> None:
    made = draft(keys, sealed)
    assert (made.class_name, made.generation, made.seals) == (CLASS, sealed.generation, 2)
    assert opened(keys, sealed, made) == NEW
    assert opened(keys, sealed, made, OF, "email") == {"email": NEW["email"]}
    assert opened(keys, sealed, made, OF, "email", agreement="agr-2") == {"email": NEW["email"]}


def test_it_opens_for_nothing_else(keys: ControllerKeys, sealed: SealedClass) -> None:
    """Seen failing with drafts named by their field alone."""
    made = draft(keys, sealed)
    others = [("req_2/1", made, AGREEMENT), (OF, replace(made, generation=2), AGREEMENT), (OF, made, "agr-3")]
    for of, one, agreement in others:
        with pytest.raises(Unreadable):
            opened(keys, sealed, one, of, agreement=agreement)
    moved = {f"draft/{OF}/email": made}
    as_profile = replace(sealed, frame=moved[f"draft/{OF}/email"].frame)
    with pytest.raises(Unreadable):
        open_fields(keys, make_permit({f"draft/{OF}/email": AGREEMENT}), [as_profile], 0.0)
    with pytest.raises(Unreadable):
        opened(keys, sealed, replace(made, frame=sealed.frame))


def test_a_draft_that_lacks_a_field_is_refused(keys: ControllerKeys, sealed: SealedClass) -> None:
    """Seen failing with what is left of it opened."""
    made = draft(keys, sealed)
    entries = frame.read(made.frame).unpacked()
    lacking = frame.encode(one for name, one in entries.items() if not name.endswith("email"))
    with pytest.raises(Unreadable):
        opened(keys, sealed, replace(made, frame=lacking))


def test_a_permit_opens_and_seals_what_it_names_and_once(keys: ControllerKeys, sealed: SealedClass) -> None:
    made = draft(keys, sealed)
    permit = make_permit(dict.fromkeys(NEW, AGREEMENT))
    open_drafts(keys, permit, [sealed], [made], OF, 0.0)
    with pytest.raises(Unreadable):
        open_drafts(keys, permit, [sealed], [made], OF, 0.0)
    values = [NewValue("email", "x@example.it", AGREEMENT, 1)]
    with pytest.raises(Unreadable):
        seal_drafts(keys, make_permit({}), [sealed], {CLASS: values}, AGREEMENT, OF, 0.0)
    with pytest.raises(Stale):
        seal_drafts(keys, make_permit({"email": AGREEMENT}), [], {CLASS: values}, AGREEMENT, OF, 0.0)
