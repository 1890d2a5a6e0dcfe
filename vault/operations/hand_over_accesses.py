"""Hand a person the whole list of who looked at their data, with what anybody needs to check it without this vault.

A ZIP: the list, a proof for each entry, the checkpoint they lead to, what was committed to, the key of the person's chain, and the
program that checks it all (`vault/audit/offline.py`). It ends with its own entry, so that one cut short is seen to be. The key by
which the checkpoint is checked is not in it: who makes a false log makes a false key beside it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from vault.assembly import Vault
from vault.audit import chain_records as chains
from vault.audit import entry, offline
from vault.audit.accesses import Audience, ChainRow, Opened, concerns_others, evidence, told, unbroken
from vault.audit.merkle import Tree
from vault.audit.package import zipped
from vault.audit.proofs import LogProof
from vault.audit.records import head, tile_reader
from vault.errors import AuditUnavailable, NotFound, Unreadable
from vault.operations.acting import Acting, telling
from vault.operations.name_agent import for_report
from vault.operations.show_accesses import VERB, audience_of, audit_key, own_entry, read, recorded
from vault.operations.signing import signed_document
from vault.policy.model import Context

log = structlog.get_logger()
MOST_ENTRIES: Final = 10_000  # the newest; the list then says with which number it begins
LONGEST_WAIT_S: Final = 3.0
CHECKPOINT_EVERY_S: Final = 60
_LOOK_EVERY_S: Final = 0.05
_ANSWERED_FOR: Final = ("accesses", "evidence")
_JSON: Final = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The answer: a ZIP, and the entry that recorded it."""

    package: bytes = field(repr=False)
    entry_id: str


def hand_over_accesses(
    vault: Vault, context: Context, subject_id: str, until: str | None = None, naming: str | None = None
) -> HandedOver:
    """Hand over the list up to this act, or up to an earlier one of the same kind (`until`, its entry id).

    `naming`: an agent whom two people decided to name in one report; this is it. Raises Conflict (`naming-closed`).

    Raises NotFound, AccessDenied, and AuditUnavailable (`entry-pending`, `checkpoint-pending`, with the entry to ask for again as
    `until`) while no signed checkpoint covers the end of the list; Unreadable, with an alarm, where entries are missing.
    """
    acting = recorded(vault, context, subject_id, "bundle")
    with telling(vault, acting):
        vault.settle(context.controller_id)
        last = own_entry(vault, acting) if until is None else _earlier(vault, acting, until)
        covering_checkpoint(vault, context.controller_id, last)  # before a naming is spent
        named = () if naming is None else (for_report(vault, acting, naming),)
        package = _package(vault, acting, last, named)
    return HandedOver(package, acting.entry_id)


def _earlier(vault: Vault, acting: Acting, entry_id: str) -> ChainRow:
    """Return an earlier entry by which this person's list was asked for. Raises NotFound."""
    with vault.database.snapshot(acting.context.controller_id) as rows:
        found = chains.own_entry(rows, acting.context.controller_id, acting.subject_id, entry_id)
    if found is None or not _is_a_report_s(read(vault, acting, [found])[0]):
        raise NotFound("entry-not-found")
    return found


def _is_a_report_s(one: Opened) -> bool:
    """Return whether an entry is of a whole list asked for and allowed: one refused, or a page, may end none."""
    return (one.leaf["operation"], one.leaf["outcome"], one.details.get("form")) == (VERB, "done", "bundle")


def _package(vault: Vault, acting: Acting, last: ChainRow, named: tuple[str, ...]) -> bytes:
    controller_id = acting.context.controller_id
    size, note = covering_checkpoint(vault, controller_id, last)
    with vault.database.snapshot(controller_id) as rows:
        found = chains.chain(rows, controller_id, acting.subject_id, last, MOST_ENTRIES)
        eras_before = chains.eras_before(rows, controller_id, acting.subject_id, last.era)
    chain_key = entry.chain_key(audit_key(vault, acting), "open")
    if not unbroken(found, chain_key) or found[-1].entry_id != last.entry_id:
        log.error("unreadable", code="accesses-missing", entry_id=acting.entry_id)
        raise Unreadable("accesses-missing")
    opened = read(vault, acting, found)
    audience = replace(audience_of(vault, acting, opened), named=named)
    proofs = _proofs(vault, controller_id, last.era, opened, audience, (size, note))
    files = files_of(opened, audience, chain_key, note, proofs, eras_before)
    line = signed_line(files, audience.subject_id, last.entry_id)
    return zipped({**files, "accesses/signed": signed_document(vault, controller_id, line)})


def files_of(
    opened: Sequence[Opened], audience: Audience, chain_key: bytes, note: str, proofs: dict[str, str], eras_before: int = 0
) -> dict[str, bytes]:
    """Return the files of a bundle by name; `proofs` by entry; `eras_before`: how many eras hold entries that are not in it."""
    shown: dict[str, Any] = {
        "v": 1,
        "subject_id": audience.subject_id,
        "report": opened[-1].row.entry_id,
        "eras_before": eras_before,
        "accesses": [told(one, audience) for one in opened],
    }
    return {
        "README.txt": _README.encode(),
        "offline.py": verifier(),
        "accesses/accesses.json": orjson.dumps(shown, option=_JSON),
        "accesses/evidence.json": orjson.dumps(evidence(opened, audience, chain_key), option=_JSON),
        "accesses/checkpoint": note.encode(),
        **{f"accesses/proofs/{entry_id}.tlog-proof": text.encode() for entry_id, text in proofs.items()},
    }


def signed_line(files: dict[str, bytes], subject_id: str, entry_id: str) -> bytes:
    """Return what the vault signs of a bundle: so that it answers for what nothing else proves."""
    return line_of({name: sha256(files[f"accesses/{name}.json"]).hexdigest() for name in _ANSWERED_FOR}, subject_id, entry_id)


def line_of(of: Mapping[str, str], subject_id: str, entry_id: str) -> bytes:
    """Return it from the SHA-256 of each of the two, in hex."""
    said = {"v": 1, "document": "accesses", "subject_id": subject_id, "report": entry_id, **of}
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def verifier() -> bytes:
    """Return the program that checks a log, a proof or a report without the vault."""
    return Path(offline.__file__).read_bytes()


def covering_checkpoint(vault: Vault, controller_id: str, last: ChainRow) -> tuple[int, str]:
    """Return the newest checkpoint that covers the end of the list. Raises AuditUnavailable where none comes soon."""
    ends_at = vault.monotonic() + LONGEST_WAIT_S
    while True:
        with vault.database.snapshot(controller_id) as rows:  # given back before the wait: others need it meanwhile
            found = chains.newest_note(rows, controller_id, last.era, last.position)
        if found is not None:
            return found
        if vault.monotonic() > ends_at:
            raise AuditUnavailable("checkpoint-pending", retry_after_s=CHECKPOINT_EVERY_S, entry_id=last.entry_id)
        time.sleep(_LOOK_EVERY_S)


def _proofs(
    vault: Vault, controller_id: str, era: int, opened: Sequence[Opened], audience: Audience, checkpoint: tuple[int, str]
) -> dict[str, str]:
    """Return the `.tlog-proof` of each entry told in full: where an entry stands in the log would tell when it happened."""
    size, note = checkpoint
    with vault.database.snapshot(controller_id) as rows:
        at = head(rows, controller_id)
        if at is None or at.era != era:
            raise NotFound("entry-not-found")  # an `until` of an era that is over
        tree = Tree(size, tile_reader(rows, controller_id, at))
        return {
            one.row.entry_id: LogProof(one.row.position, tuple(tree.inclusion(one.row.position)), note).text
            for one in opened
            if not concerns_others(one, audience)
        }


_README: Final = """\
WHO LOOKED AT MY DATA

accesses/accesses.json lists every access, the oldest first: when, what for, which role and team, which fields and how
clearly, resting on which agreement. "operator" and six characters is one and the same person each time, in your list
alone. An entry that concerns somebody else too shows its month only. The last entry is this list itself. If
"eras_before" is not 0, the company's log was begun anew after a fault: older entries are not in this file. Ask for them.

Nobody has to be believed. With Python 3.11 and the package `cryptography`:

    python offline.py report FOLDER-OR-ZIP --key KEY

KEY is the verifier key of the company's log. Ask the company for it, or its data protection officer, or take it from a
place that is not this file. It says VERIFIED if no entry is missing and each is in the log as listed; of those that show
their month only it proves that they are there, and names them: what is said of them is the vault's word.
accesses/signed is the company's signature under list and evidence: it answers for what is its word. It is checked with
--document-key "NAME PUBLICKEY", of `documents` in the company's /.well-known/riserbo.
accesses/evidence.json holds a key that recognises your entries in the log: keep it to yourself.


CHI HA GUARDATO I MIEI DATI

accesses/accesses.json elenca ogni accesso, dal più vecchio: quando, per quale finalità, con quale ruolo e in quale
squadra, quali campi e quanto in chiaro, in base a quale accordo. "operator" seguito da sei caratteri è sempre la stessa
persona, e soltanto nel Suo elenco. Una voce che riguarda anche altri mostra solo il mese. L'ultima voce è questo elenco.
Se "eras_before" non è 0, il registro dell'azienda è stato ricominciato dopo un guasto: le voci più vecchie non sono in
questo file. Le chieda.

Non occorre credere a nessuno. Con Python 3.11 e il pacchetto `cryptography`:

    python offline.py report CARTELLA-O-ZIP --key CHIAVE

CHIAVE è la chiave di verifica del registro dell'azienda. La chieda all'azienda o al suo responsabile della protezione
dei dati, o la prenda da un luogo che non sia questo file. Risponde VERIFIED se nessuna voce manca e ciascuna è nel
registro come elencata; di quelle che mostrano solo il mese dimostra che ci sono, e le nomina: ciò che ne è detto è la
parola del vault. accesses/signed è la firma dell'azienda sotto elenco e prove: risponde di ciò che è la sua parola. Si
verifica con --document-key "NOME CHIAVE", da `documents` in /.well-known/riserbo dell'azienda.
accesses/evidence.json contiene una chiave che riconosce le Sue voci nel registro: la tenga per sé.
"""
