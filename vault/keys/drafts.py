"""Values somebody proposes: sealed under the key of their class, beside what is there, so that they open for as long as that does.

A draft is a frame whose entries are named `draft/<what proposed it>/<field>`. No field of a catalogue is called so: what lies in a
draft opens nowhere else, and no value that is kept opens as a draft. It has no manifest of its own: whoever opens one names every
field of it, and a draft that lacks one is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from vault.errors import Stale, Unreadable
from vault.keys import envelope, frame
from vault.keys.controller_keys import ControllerKeys
from vault.keys.data_keys import NewValue, SealedClass, data_key_of, seal_values
from vault.permit import Clear, ReadPermit


@dataclass(frozen=True, slots=True)
class Draft:
    """What is proposed of one class, sealed under that generation's key. `seals`: how many values, where it was sealed just now."""

    class_name: str
    generation: int
    frame: bytes
    seals: int = 0


def seal_drafts(
    keys: ControllerKeys,
    permit: ReadPermit,
    sealed: Iterable[SealedClass],
    proposed: Mapping[str, Sequence[NewValue]],
    agreement_id: str,
    of: str,
    at: float,
) -> list[Draft]:
    """Seal what is proposed, by class, through an agreement's wrap; `of` names what proposes it. `at` is monotonic seconds.

    Raises Stale where a class is gone, Unreadable, KeysUnavailable.
    """
    granted = permit.spend(permit.controller_id, permit.subject_id, at)
    by_class = {one.class_name: one for one in sealed}
    if not proposed.keys() <= by_class.keys():
        raise Stale
    made = []
    for class_name, values in proposed.items():
        one = by_class[class_name]
        data_key = data_key_of(keys, permit, granted, one, agreement_id)
        named = [replace(new, field=_named(of, new.field)) for new in values]
        packed = frame.encode(seal_values(data_key, _place(one), one.generation, named))
        made.append(Draft(class_name, one.generation, packed, len(named)))
    return made


def open_drafts(
    keys: ControllerKeys, permit: ReadPermit, sealed: Iterable[SealedClass], drafts: Iterable[Draft], of: str, at: float
) -> dict[str, Clear]:
    """Return the proposed values of the fields a permit names. Raises Unreadable where one is not there, KeysUnavailable."""
    granted = permit.spend(permit.controller_id, permit.subject_id, at)
    by_class = {(one.class_name, one.generation): one for one in sealed}
    names = {_named(of, name): name for name in granted}
    opened: dict[str, Clear] = {}
    for draft in drafts:
        one = by_class.get((draft.class_name, draft.generation))
        if one is None:
            raise Unreadable
        chosen = frame.read(draft.frame).select(names)
        for agreement_id in {granted[names[name]] for name, _, _ in chosen}:
            data_key = data_key_of(keys, permit, granted, one, agreement_id)
            opened |= {
                names[name]: Clear(orjson.loads(c)) for name, c in envelope.open_many(data_key, _place(one), one.generation, chosen)
            }
    if opened.keys() != granted.keys():
        raise Unreadable
    return opened


def _named(of: str, field: str) -> str:
    return f"draft/{of}/{field}"


def _place(one: SealedClass) -> bytes:
    return envelope.class_place(one.controller_id, one.subject_id, one.class_name)
