"""Write what a person takes away (Art. 15, 20): their data, what is not handed out and why, agreements, recipients, who looked.

One reading, decided by policy for `rights-fulfilment` and on record before anything is opened, as any other; a restriction does not
stop it. Nothing is written in clear anywhere: `write` seals what it is given. The access log is read last, so that it holds the
reading itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Any, Final

import orjson

from vault import notices, sources
from vault.agreements import records as agreements
from vault.agreements.receipts import CONTEXT, instant, receipt_line
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, NotFound, VaultError
from vault.exports import contents
from vault.exports.contents import Answered, Contents, Described, Ground, as_portable, sorted_out
from vault.exports.manifest import MANIFEST, NOTE, About, Set
from vault.exports.page import page
from vault.exports.processing import Agreed, Party, Recipients, processing
from vault.exports.sheets import sheet
from vault.exports.zipped import Package, in_pieces
from vault.operations.acting import Acting, prepare, refuse
from vault.operations.disclose import answer_of, decide_on, read_all
from vault.operations.disclosure import SPECIAL, Ask, Case, Profile, disclosure_draft
from vault.operations.facts import is_self
from vault.operations.pack_accesses import Report, begin_report, pack_accesses
from vault.operations.receiving import named_recipients
from vault.operations.show_accesses import LEVEL_FOR_SPECIAL
from vault.operations.show_receipt import receipt_facts
from vault.operations.show_served_notices import shown
from vault.operations.signing import signature_under
from vault.policy.model import Context
from vault.profiles.records import AgreementRow

VERB: Final = "export_subject"
ACT: Final = "export"
REASONS: Final = {"support_note": contents.THIRD_PARTY, "verification_phrase": contents.SECRET}
_JSON: Final = orjson.OPT_INDENT_2
_JURISDICTION: Final = "IT"  # of a controller that says nothing of itself

Advance = Callable[[int, int], object]  # (done, total): fields, entries and proofs


@dataclass(frozen=True, slots=True)
class Order:
    """What to pack: for whom, on whose asking, which set, in which language first, for which request."""

    context: Context
    subject_id: str
    set: Set
    language: str


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed: how many fields, how many held back, whether data of Art. 9 were among them, and the entries of it."""

    exported: int
    withheld: int
    special: bool
    entry_id: str
    report_id: str | None


def pack_export(vault: Vault, order: Order, write: Callable[[bytes], object], advance: Advance) -> Packed:
    """Write the package, a ZIP. Raises what `disclose` raises, AuditUnavailable while the log is not signed so far."""
    case, found = _read(vault, order)
    made = found if order.set == "access" else as_portable(found)
    report = begin_report(vault, order.context, order.subject_id) if order.set == "access" else None
    package, recipients = Package(write), Recipients()
    progress = _Progress(len(case.decision.fields), report, advance)
    snapshot_at = instant(case.at)
    _pack_data(package, order, made)
    agreed = [_agreed(vault, one) for one in case.person.agreements]
    parties = {name: Party(labels, tool) for name, (labels, tool) in named_recipients(vault, order.context.controller_id).items()}
    controller, jurisdiction = _controller(vault, order.context.controller_id)
    told = processing(controller, jurisdiction, agreed, parties, made.profile)
    package.add("info/processing.json", [orjson.dumps(told, option=_JSON)])
    package.add("info/withheld.json", [orjson.dumps(list(made.withheld), option=_JSON)])
    progress.add(progress.fields)
    if report is not None:
        _pack_agreements(vault, report.acting, package)
        _pack_notices(vault, report.acting, package)
        pack_accesses(report, package, recipients, progress.add)
        categories = {one.name: one.category for one in vault.catalogue.fields.values()}
        package.add("info/recipients.json", [orjson.dumps(recipients.told(parties, categories), option=_JSON)])
    _finish(vault, order, package, made, (controller["name"], snapshot_at))
    special = SPECIAL in case.frames
    return Packed(
        len(made.profile), len(made.withheld), special, case.entry_id, report.acting.entry_id if report is not None else None
    )


class _Progress:
    """How far it has come. `fields` are all there are to decide on; each entry counts twice, for its line and for its proof."""

    def __init__(self, fields: int, report: Report | None, advance: Advance) -> None:
        self.fields = fields
        self._done = 0
        self._total = fields + (2 * report.last.number if report is not None else 0)
        self._advance = advance
        advance(0, self._total)

    def add(self, count: int) -> None:
        """Say that so much more is done."""
        self._done = min(self._done + count, self._total)
        self._advance(self._done, self._total)


def _read(vault: Vault, order: Order) -> tuple[Case, Contents]:
    """Return the reading of every field, decided, on record, opened, and sorted out. Raises what policy refuses."""
    ask = Ask(order.context, order.subject_id, tuple(vault.catalogue.fields), ACT, ACT)
    read = read_all(vault, order.context.controller_id, [ask])
    case = decide_on(vault, ask, read, vault.now())
    if lacks_level(case):
        raise refuse(vault, prepare(vault, VERB, order.context, order.subject_id), AccessDenied("level-needed"))
    permit = vault.audit.record(order.context.controller_id, disclosure_draft(vault, case))
    answer = answer_of(vault, case, permit)
    if isinstance(answer, VaultError):
        raise answer
    return case, _sorted_out(vault, case, answer)


def lacks_level(case: Case) -> bool:
    """Return whether a person would take special categories away without having proved who they are at level 3."""
    own = is_self(case.ask.context, case.ask.subject_id, case.person)
    return own and SPECIAL in case.frames and case.ask.context.caller.level < LEVEL_FOR_SPECIAL


def _sorted_out(vault: Vault, case: Case, answer: Profile) -> Contents:
    collected = {name: under for one in case.frames.values() for name, under in one.collected().items()}
    from_others = _sources(vault, case)
    answers = {
        name: Answered(
            one.state,
            name in case.present,
            one.because,
            one.value,
            one.mask,
            collected.get(name),
            False,
            *from_others.get(name, (None, None)),
        )
        for name, one in answer.fields.items()
    }
    described = [
        Described(one.name, one.category, one.origin, one.labels, one.never_to_subject) for one in vault.catalogue.fields.values()
    ]
    return sorted_out(described, answers, {one.agreement_id: _ground(vault, one) for one in case.person.agreements}, REASONS)


def _sources(vault: Vault, case: Case) -> dict[str, tuple[str, str]]:
    """Return where the values that are there now are from, by field, of those that are not from the person."""
    with vault.database.snapshot(case.ask.context.controller_id) as rows:
        found = sources.of_subject(rows, case.ask.context.controller_id, case.ask.subject_id)
    versions = {(name, entry[0]) for one in case.frames.values() for name, entry in one.entries.items()}
    return {
        field: (one.source, instant(one.obtained_at)) for (field, version), one in found.items() if (field, version) in versions
    }


def _ground(vault: Vault, one: AgreementRow) -> Ground:
    """Return why a value was collected; until when it is kept is known where no duty to keep follows the agreement's end."""
    wording = vault.wordings.get(one.template)
    ends = one.valid_until if wording is not None and not wording.retention else None
    basis = vault.templates[one.template].basis if one.template in vault.templates else ""
    return Ground(basis, wording.purposes if wording is not None else (), instant(ends) if ends is not None else None)


def _agreed(vault: Vault, one: AgreementRow) -> Agreed:
    """Return an agreement as its template is worded; of one that is in no bundle in force, what is known without it."""
    wording = vault.wordings.get(one.template)
    if wording is None:
        return Agreed(one.agreement_id, one.template, one.status, (), (), (), (), (), "unknown", ())
    kept: list[dict[str, Any]] = [
        {
            "categories": list(rule.categories), "purpose": rule.purpose, "from": rule.trigger, "period": rule.period,
            "law": list(rule.law),
        }
        for rule in wording.retention
    ]  # fmt: skip
    return Agreed(
        one.agreement_id, one.template, one.status, wording.bases, wording.purposes,
        [category.term for category in wording.categories], wording.recipients, wording.regions, wording.validity, kept,
    )  # fmt: skip


def _controller(vault: Vault, controller_id: str) -> tuple[dict[str, Any], str]:
    """Return what a controller says of itself, its id where it says nothing: nobody's rights wait for a file."""
    try:
        said = vault.publisher(controller_id)
    except Conflict:
        return {"name": controller_id}, _JURISDICTION
    shown = ("name", "address", "contact", "email", "phone", "url", "portal", "notice")
    return {name: getattr(said, name) for name in shown}, said.jurisdiction


def _pack_data(package: Package, order: Order, made: Contents) -> None:
    sets = {"portability": made.portable} | ({"profile": made.profile} if order.set == "access" else {})
    for name, values in sets.items():
        package.add(f"data/{name}.json", [orjson.dumps(list(values), option=_JSON)])
        package.add(f"data/{name}.csv", sheet(contents.COLUMNS, values))


def _pack_agreements(vault: Vault, acting: Acting, package: Package) -> None:
    """Write each agreement: what happened to it, a receipt of each event, and the text that was shown where it is still known."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    for row in sorted(acting.person.agreements, key=lambda one: (one.valid_from, one.agreement_id)):
        with vault.database.snapshot(controller_id) as rows:
            found = agreements.agreed(rows, controller_id, subject_id, row.agreement_id)
        if found is None:
            continue
        made, events = found
        history = [
            {
                "number": one.number, "kind": one.kind, "recorded_at": instant(one.recorded_at),
                "effective_at": instant(one.effective_at), "channel": one.channel, "entry": one.entry_id,
                "excluded": sorted(one.excluded),
            }
            for one in events
        ]  # fmt: skip
        text = _text(vault, row.template, made)
        name = f"info/agreements/{row.agreement_id}"
        said = {
            "@context": CONTEXT,
            "@id": f"https://{vault.settings.host}/agreements/{row.agreement_id}",
            "vault:template": row.template,
            "vault:status": row.status,
            "vault:textSha256": made.text_sha256.hex(),
            "vault:text": f"{name}.{made.text_language}.md" if text is not None else None,
            "vault:history": history,
            "vault:receipts": [
                orjson.Fragment(one) for one in _receipts(vault, acting, row.agreement_id, [one.number for one in events])
            ],
        }
        package.add(f"{name}.jsonld", [orjson.dumps(said)])
        if text is not None:
            package.add(f"{name}.{made.text_language}.md", [text])


def _pack_notices(vault: Vault, acting: Acting, package: Package) -> None:
    """Write which notices the person was given, in which words, when."""
    with vault.database.snapshot(acting.context.controller_id) as rows:
        found = notices.served(rows, acting.context.controller_id, acting.subject_id)
    package.add("info/notices.json", [orjson.dumps([shown(one) for one in found], option=_JSON)])


def _receipts(vault: Vault, acting: Acting, agreement_id: str, numbers: Iterable[int]) -> Iterator[bytes]:
    """Yield the receipt of each event; none where the controller says nothing of itself, or the template is in no bundle."""
    for number in numbers:
        try:
            wording, publisher, agreed = receipt_facts(vault, acting, agreement_id, "dpv", number)
        except (Conflict, NotFound):
            return
        yield receipt_line(vault.settings.host, publisher, wording, agreed)


def _text(vault: Vault, reference: str, made: agreements.AgreementRow) -> bytes | None:
    """Return the words that were shown, if the bundle in force still has these very words."""
    if reference not in vault.templates:
        return None
    text = vault.policy.texts(reference).get(made.text_language)
    return text if text is not None and sha256(text).digest() == made.text_sha256 else None


def _finish(vault: Vault, order: Order, package: Package, made: Contents, named: tuple[str, str]) -> None:
    """Write the page, the manifest of all that was written, and the signature under it; end the ZIP."""
    controller, snapshot_at = named
    labels: Mapping[str, Mapping[str, str]] = {one.name: one.labels for one in vault.catalogue.fields.values()}
    written = ["data/portability.json", "data/portability.csv", "info/processing.json", "info/withheld.json"]
    if order.set == "access":
        written += ["data/profile.json", "data/profile.csv", "info/recipients.json", "info/agreements/", "info/notices.json"]
        written += ["accesses/accesses.json", "accesses/accesses.csv", "accesses/proofs/", "accesses/checkpoint"]
    package.add("index.html", [page(order.language, controller, snapshot_at, labels, made.profile, made.withheld, written)])
    about = About(
        order.context.request_id, order.set, snapshot_at, order.language, vault.policy.catalogue_digest, vault.policy.digest,
        len(made.profile), len(made.withheld),
    )  # fmt: skip
    manifest = package.files.manifest(about)
    package.files.forget()
    package.add(MANIFEST, in_pieces(manifest), listed=False)
    signature = signature_under(vault, order.context.controller_id, manifest)
    package.add(NOTE, chain(in_pieces(manifest), [b"\n", signature]), listed=False)
    package.close()
