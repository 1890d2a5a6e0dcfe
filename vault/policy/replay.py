"""A recorded decision taken again: from its record back to the keys, and whether what comes out of them is what was recorded. Pure.

The inverse of what `decision.record` keeps: what is false, none, empty or zero was left out of a record, so what is not said is
that. Restricted names that are no field of the bundle have no bit and do not come back; no policy could see them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from vault.policy.decision import plate, subjectless_plate, with_denials
from vault.policy.inputs import Circumstance, LawKey, ViewKey
from vault.policy.lexicon import Lexicon
from vault.policy.model import PartyTerms
from vault.policy.rows import Lawfulness, Plate, View

Kept = Mapping[str, Any]
MEMBERS: Final = ("bits", "order", "lawful", "row", "returned", "deciding", "obligations", "input")


class Keys(NamedTuple):
    """What a record says went in: gate 1's key of each agreement, in the order in which they decide, and gate 2's key."""

    agreements: tuple[str, ...]
    laws: tuple[LawKey, ...]
    view: ViewKey
    asked: tuple[str, ...]
    denied: tuple[str, ...] = ()  # by an emergency denial, after the gates


def keys_of(lexicon: Lexicon, kept: Kept) -> Keys:
    """Return the keys of a recorded decision. Raises ValueError for what is no record of one."""
    try:
        given = kept["input"]
        shared = circumstance_of(lexicon, given)
        held = tuple(law_key_of(one, shared) for one in kept["gate1"])
        lawful, after = 0, 0
        for one in kept["gate1"]:
            bits = int(one.get("bits", "0"), 16)
            lawful |= bits
            after |= bits if one.get("after_restriction", False) else 0
        everything = given["act"] == "find"  # a look-up is about nobody yet
        view = view_key_of(lexicon, given, lexicon.everything if everything else lawful, after)
        asked = [name for bits in kept["returned"].values() for name in lexicon.names(int(bits, 16))]
        denied = tuple(lexicon.names(int(given.get("denied", "0"), 16)))
        return Keys(tuple(one["agreement"] for one in kept["gate1"]), held, view, tuple(asked), denied)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not the record of a decision") from None


def circumstance_of(lexicon: Lexicon, given: Kept) -> Circumstance:
    """Return gate 1's circumstance from a record's input: what `given_law` said, with purpose and minority of `given_view`."""
    return Circumstance(
        given["purpose"],
        given["operation"],
        given["recipient"],
        given["region"],
        given.get("acts_for_subject", False),
        _restricted(lexicon, given),
        given.get("objected", False),
        given.get("objected_marketing", False),
        given.get("minor", False),
        given.get("time_barred", False),
        given.get("deceased", False),
        PartyTerms(given["recipient"], *given["terms"]) if "terms" in given else None,
    )


def law_key_of(said: Kept, shared: Circumstance) -> LawKey:
    """Return gate 1's key from what a record says of one agreement."""
    return LawKey(
        said["template"],
        said.get("consent", "none"),
        said["phase"],
        frozenset(said.get("excluded", ())),
        frozenset(said.get("foreign", ())),
        said.get("after_restriction", False),
        said.get("after_objection", False),
        shared,
    )


def view_key_of(lexicon: Lexicon, given: Kept, lawful: int, after_restriction: int) -> ViewKey:
    """Return gate 2's key from a record's input: the inverse of `given_view`. The masks follow from gate 1."""
    return ViewKey(
        given["principal"],
        frozenset(given.get("roles", ())),
        frozenset(given.get("training", ())),
        given["act"],
        given["purpose"],
        given["channel"],
        given["ticket"]["state"],
        given["ticket"]["assigned"],
        given.get("caller_verified", False),
        given.get("level", 0),
        given.get("step_up", False),
        given.get("break_glass", "none"),
        given.get("minor", False),
        given.get("is_self", False),
        given.get("in_care", False),
        given.get("request_accepted", False),
        _restricted(lexicon, given),
        lawful,
        after_restriction,
        frozenset(given.get("request_fields", ())),
    )


def joined(lexicon: Lexicon, keys: Keys, laws: Sequence[Lawfulness], row: View) -> Plate:
    """Return the answer of these rows for the fields that were asked for."""
    places = [(name, lexicon.positions[name]) for name in keys.asked]
    if keys.denied:
        row = with_denials(lexicon, row, keys.denied)
    if keys.view.act == "find":
        return subjectless_plate(places, row, {})
    return plate(places, row, laws, laws[0].given if laws else {})


def differences(keys: Keys, kept: Kept, laws: Sequence[Lawfulness], row: View, filled: Plate) -> list[str]:
    """Return which members of a record are not what comes out of its keys; none when the decision would be the same today."""
    lawful = 0
    for law in laws:
        lawful |= law.bits
    deciding = {keys.agreements[one.number]: one.bits for one in filled.shares}
    orders = [law.order for law in laws]
    same = {
        "bits": [law.bits for law in laws] == [int(one.get("bits", "0"), 16) for one in kept["gate1"]],
        "order": orders == sorted(orders),
        "lawful": f"{lawful:x}" == kept["lawful"],
        "row": row.digest == kept["row"],
        "returned": dict(filled.returned) == dict(kept["returned"]),
        "deciding": deciding == dict(kept["deciding"]),
        "obligations": list(filled.obligations) == list(kept["obligations"]),
        "input": all(kept["input"].get(name) == one for name, one in filled.given.items()),
    }
    return [member for member in MEMBERS if not same[member]]


def _restricted(lexicon: Lexicon, given: Kept) -> frozenset[str]:
    return frozenset(lexicon.names(int(given.get("restricted", "0"), 16)))
