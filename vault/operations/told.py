"""What each reader is told of a decision.

Agents: reasons, and what would have been needed. Officers: policies, agreements and digests, but no value. The person: plain words.
Nobody is told of an agreement, a person or a field they may not know of.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from vault.audit.reading import ReadEntry
from vault.policy.engine import Policy
from vault.policy.explaining import Replayed, needed
from vault.policy.inputs import may_know, ticket_refusal
from vault.policy.model import FieldDecision
from vault.policy.recorded import spelt_out
from vault.policy.replay import keys_of
from vault.policy.words import sentence
from vault.profiles.catalogue import Catalogue

Reader = Literal["desk", "office", "person"]
Document = dict[str, Any]
_SHOW_NOTHING = frozenset({"simulate", "evaluate"})  # a person's words would say "shown" of what was only asked


def in_outline(entry: ReadEntry, because: str | None) -> Document:
    """Return what is told of an act whose entry keeps no decision that could be taken again."""
    return {**_outline(entry), "because": because}


def told(catalogue: Catalogue, policy: Policy, entry: ReadEntry, reader: Reader, again: Callable[[], Replayed]) -> Document:
    """Return the explanation; `again` takes the decision again and raises if it comes out otherwise.

    An agent who got the uniform 404 is told the same whether or not the person is here, and as fast: nothing is worked out.
    """
    if reader == "desk" and (hidden := _hidden(policy, entry)) is not None:
        return in_outline(entry, hidden)
    if reader == "person" and entry.leaf.get("operation") in _SHOW_NOTHING:
        return in_outline(entry, "nothing-shown")
    replayed = again()
    writers = {"desk": _for_the_desk, "office": _for_the_office, "person": _for_the_person}
    return {**_outline(entry), **writers[reader](catalogue, policy, entry, replayed)}


def undated(document: Document) -> Document:
    """Return a document that shows its month only, as the person's list does where others must be protected."""
    return {"month": document["at"][:7], **{name: said for name, said in document.items() if name != "at"}}


def _hidden(policy: Policy, entry: ReadEntry) -> str | None:
    """Return what a caller was told who did not learn, and may not know, that the person is here; None for whoever knows.

    A record that is none is found out when taken again.
    """
    if entry.leaf.get("outcome") in ("allowed", "partial", "done"):
        return None
    try:
        view = keys_of(policy.lexicon, entry.internal["decision"]).view
    except ValueError:
        return None
    knows = entry.leaf.get("outcome") == "refused" and may_know(view)
    return None if knows else ticket_refusal(view) or "not-found"


def _outline(entry: ReadEntry) -> Document:
    leaf = entry.leaf
    at = datetime.fromtimestamp(leaf["at"] / 1000, UTC).isoformat(timespec="milliseconds")
    known = {name: leaf[name] for name in ("operation", "outcome", "purpose", "channel") if name in leaf}
    return {"of_entry_id": leaf["id"], "at": at.replace("+00:00", "Z"), **known}


def _for_the_desk(_catalogue: Catalogue, policy: Policy, entry: ReadEntry, replayed: Replayed) -> Document:
    _, deciding = spelt_out(policy.lexicon, entry.internal["decision"])
    ways = needed(policy, replayed)
    fields = {
        name: {
            **_shown(entry, name, one),
            "agreement_id": deciding.get(name),
            "needed": [
                {"state": way.shown.level, "mask": way.shown.mask, "changes": dict(way.changes)} for way in ways.get(name, ())
            ],
        }
        for name, one in replayed.plate.fields.items()
    }
    return {"fields": fields}


def _for_the_office(_catalogue: Catalogue, policy: Policy, entry: ReadEntry, replayed: Replayed) -> Document:
    kept = entry.internal["decision"]
    _, deciding = spelt_out(policy.lexicon, kept)
    fields = {
        name: {
            **_shown(entry, name, one),
            "agreement_id": deciding.get(name),
            "policies": list(one.by),
            "blocked": replayed.body[name]["blocked"],
        }
        for name, one in replayed.plate.fields.items()
    }
    trace = [
        {
            "agreement_id": agreement_id,
            "template": law.template,
            "phase": law.phase,
            "consent": law.consent,
            "excluded": sorted(law.excluded),
            "foreign": sorted(law.foreign),
            "lawful": policy.lexicon.names(int(said.get("bits", "0"), 16)),
        }
        for agreement_id, law, said in zip(replayed.keys.agreements, replayed.keys.laws, kept["gate1"], strict=True)
    ]
    given = {**kept["input"], "restricted": sorted(replayed.keys.view.restricted)}
    return {
        "subject_id": entry.subject_id,
        "policy": kept["bundle"],
        "row": kept["row"],
        "input": given,
        "agreements": trace,
        "obligations": list(kept["obligations"]),
        "fields": fields,
    }


def _for_the_person(catalogue: Catalogue, policy: Policy, entry: ReadEntry, replayed: Replayed) -> Document:
    """Return it in words, without the fields the person must not learn of (d.lgs. 231/2007, art. 39)."""
    _, deciding = spelt_out(policy.lexicon, entry.internal["decision"])
    fields = {}
    for name, one in replayed.plate.fields.items():
        if name not in catalogue.never_to_subject:
            shown = _shown(entry, name, one)
            words = sentence(catalogue.fields[name].labels, shown["state"], one.because)
            fields[name] = {**shown, "agreement_id": deciding.get(name), "words": words}
    return {"fields": fields}


def _shown(entry: ReadEntry, name: str, one: FieldDecision) -> dict[str, Any]:
    """Return what was answered of a field: the entry knows whether there was a value."""
    absent = entry.leaf.get("fields", {}).get(name) == "absent"
    return {"state": "absent" if absent else one.level, "mask": None if absent else one.mask, "because": one.because}
