"""What GDPR Art. 15(1)(a)–(h) and 15(2) ask to be told beside the data, as `info/processing.json`; and to whom data went. Pure.

Every member names its letter of the law. What the vault cannot know it does not invent: the logic of a decision taken elsewhere
from a derived value is the controller's to explain, and the file says which values those are.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

RIGHTS: Final = (
    ("rectification", "GDPR 16", "Rettifica", "Rectification"),
    ("erasure", "GDPR 17", "Cancellazione", "Erasure"),
    ("restriction", "GDPR 18", "Limitazione del trattamento", "Restriction of processing"),
    ("portability", "GDPR 20", "Portabilità", "Portability"),
    ("objection", "GDPR 21", "Opposizione", "Objection"),
    ("withdrawal", "GDPR 7(3)", "Revoca del consenso", "Withdrawal of consent"),
)
GARANTE: Final = {
    "name": "Garante per la protezione dei dati personali",
    "address": "Piazza Venezia 11, 00187 Roma",
    "url": "https://www.garanteprivacy.it",
}


@dataclass(frozen=True, slots=True)
class Agreed:
    """One agreement as its template is worded: terms are compact IRIs, recipients names of the register."""

    agreement_id: str
    template: str
    status: str
    bases: Sequence[str]
    purposes: Sequence[str]
    categories: Sequence[str]
    recipients: Sequence[str]
    regions: Sequence[str]
    validity: str
    retention: Sequence[Json]


@dataclass(frozen=True, slots=True)
class Party:
    """A recipient of the register: its names, and the ground on which data may leave the EEA to it."""

    labels: Mapping[str, str]
    transfer_tool: str


def processing(
    controller: Json, jurisdiction: str, agreed: Sequence[Agreed], parties: Mapping[str, Party], values: Sequence[Json]
) -> Json:
    """Return what is told. `controller`: who it is and whom to turn to; `values`: those of `profile.json`."""
    named = _once(name for one in agreed for name in one.recipients)
    return {
        "v": 1,
        "controller": controller,
        "purposes": {
            "law": "GDPR 15(1)(a)",
            "agreements": [
                {
                    "agreement_id": one.agreement_id, "template": one.template, "status": one.status, "bases": list(one.bases),
                    "purposes": list(one.purposes),
                }
                for one in agreed
            ],
        },
        "categories": {"law": "GDPR 15(1)(b)", "categories": _once(one["category"] for one in values)},
        "recipients": {
            "law": "GDPR 15(1)(c)",
            "named_in_agreements": [{"recipient": name, **_labels(parties, name)} for name in named],
            "actual": "info/recipients.json",
        },
        "storage": {
            "law": "GDPR 15(1)(d)",
            "periods": [
                {"agreement_id": one.agreement_id, "validity": one.validity, "kept": list(one.retention)} for one in agreed
            ],
        },
        "rights": {"law": "GDPR 15(1)(e)", "rights": [_right(*one) for one in RIGHTS]},
        "complaint": {"law": "GDPR 15(1)(f)", **_authority(jurisdiction)},
        "sources": {
            "law": "GDPR 15(1)(g)",
            "sources": [
                {"field": one["field"], "origin": one["origin"], "source": one["source"]}
                for one in values
                if one["origin"] != "provided"
            ],
        },
        "automated_decisions": {
            "law": "GDPR 15(1)(h)",
            "by_this_vault": False,
            "derived_fields": [one["field"] for one in values if one["origin"] == "derived"],
            "it": "Questo archivio non prende decisioni automatizzate. Sull'uso dei dati derivati risponde il titolare.",
            "en": "This vault takes no automated decision. How derived values are used is the controller's to explain.",
        },
        "transfers": {
            "law": "GDPR 15(2)",
            "regions": _once(name for one in agreed for name in one.regions),
            "safeguards": [
                {"recipient": name, "tool": parties[name].transfer_tool}
                for name in named
                if name in parties and parties[name].transfer_tool != "none"
            ],
        },
    }  # fmt: skip


@dataclass(slots=True)
class Recipients:
    """To whom data actually went, gathered entry by entry (15(1)(c); CJEU C-154/21): a line for each, however many entries."""

    _met: dict[str, Json] = field(default_factory=dict)

    def add(self, party: str, fields: Iterable[str], when: str, kept_back: Collection[str]) -> None:
        """Take what went to a party. `when`: the day, or the month where the day would tell of others; `kept_back`: never told."""
        shown = set(fields) - set(kept_back)
        if not shown:
            return
        met = self._met.setdefault(party, {"first": when, "last": when, "times": 0, "fields": set()})
        met["first"], met["last"] = min(met["first"], when), max(met["last"], when)
        met["times"] += 1
        met["fields"] |= shown

    def told(self, parties: Mapping[str, Party], categories: Mapping[str, str]) -> list[Json]:
        """Return the recipients by name, with dates, fields and categories."""
        return [
            {
                "recipient": name, **_labels(parties, name), "first": met["first"], "last": met["last"], "times": met["times"],
                "fields": sorted(met["fields"]),
                "categories": sorted({categories[one] for one in met["fields"] if one in categories}),
            }
            for name, met in sorted(self._met.items())
        ]  # fmt: skip


def _authority(jurisdiction: str) -> Json:
    return {
        "authority": GARANTE if jurisdiction == "IT" else None,
        "it": "Può proporre reclamo all'autorità di controllo del luogo in cui vive, lavora o è avvenuto il fatto (art. 77).",
        "en": "You may complain to the supervisory authority where you live, work, or where it happened (Art. 77).",
    }


def _right(code: str, law: str, italian: str, english: str) -> Json:
    return {"code": code, "law": law, "it": italian, "en": english}


def _labels(parties: Mapping[str, Party], name: str) -> Json:
    return dict(parties[name].labels) if name in parties else {}


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
