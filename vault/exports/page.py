"""`index.html`: what is in an export, for people, in Italian and English. No script, nothing fetched, everything escaped. Pure.

Both languages are in it, the person's first; each part names its language for screen readers, tables have captions and headers,
and the page forbids itself everything but its own style, should an escape ever fail.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from vault.exports.sheets import cell

LANGUAGES: Final = ("it", "en")
_STYLE: Final = (
    "body{font:1rem/1.5 sans-serif;max-width:60rem;margin:auto;padding:1rem;color:#111;background:#fff}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}caption{text-align:left;font-weight:bold}"
    "th,td{border:1px solid #767676;padding:.3rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}a{color:#0b4f9c}"
)
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "it": {
        "title": "I Suoi dati",
        "made": "Fotografia del",
        "by": "Titolare",
        "values": "Dati che La riguardano",
        "field": "Dato",
        "value": "Valore",
        "origin": "Origine",
        "provided": "fornito da Lei",
        "observed": "osservato",
        "third-party": "da terzi",
        "derived": "derivato",
        "withheld": "Dati presenti e non consegnati",
        "why": "Perché",
        "none": "Nessuno.",
        "files": "I file di questo pacchetto",
        "path": "File",
        "what": "Che cosa contiene",
        "check": "Verificare il pacchetto",
        "how": "manifest.note è la firma del titolare su manifest.json, che elenca ogni file con la sua impronta. Con il programma "
        "riserbo: riserbo exports verify FILE. Il file accesses/accesses.json dice chi ha guardato i Suoi dati.",
        "language": "Italiano",
    },
    "en": {
        "title": "Your data",
        "made": "As of",
        "by": "Controller",
        "values": "Data about you",
        "field": "Datum",
        "value": "Value",
        "origin": "Origin",
        "provided": "provided by you",
        "observed": "observed",
        "third-party": "from others",
        "derived": "derived",
        "withheld": "Data held and not handed out",
        "why": "Why",
        "none": "None.",
        "files": "The files of this package",
        "path": "File",
        "what": "What it holds",
        "check": "Checking the package",
        "how": "manifest.note is the controller's signature under manifest.json, which lists every file with its hash. With the "
        "program riserbo: riserbo exports verify FILE. The file accesses/accesses.json tells who looked at your data.",
        "language": "English",
    },
}
FILES: Final[Sequence[tuple[str, str | None, str, str]]] = (
    ("data/profile.json", "data/profile.csv", "tutti i dati", "all data"),
    ("data/portability.json", "data/portability.csv", "i dati da portare con Sé (art. 20)", "the data to take along (Art. 20)"),
    ("info/processing.json", None, "perché, da chi, fino a quando (art. 15)", "why, by whom, until when (Art. 15)"),
    ("info/recipients.json", None, "a chi sono stati mostrati", "to whom they were shown"),
    ("info/agreements/", None, "accordi, testi, storia e ricevute", "agreements, texts, history and receipts"),
    ("info/notices.json", None, "informative che Le sono state date", "notices you were given"),
    ("info/withheld.json", None, "ciò che non è consegnato, e perché", "what is not handed out, and why"),
    ("accesses/accesses.json", "accesses/accesses.csv", "chi ha guardato, quando e perché", "who looked, when and why"),
    ("accesses/proofs/", "accesses/checkpoint", "le prove che l'elenco è vero", "the proofs that the list is true"),
)  # fmt: skip


def page(
    language: str, controller: str, snapshot_at: str, labels: Mapping[str, Mapping[str, str]], values: Sequence[Mapping[str, Any]],
    withheld: Sequence[Mapping[str, Any]], files: Sequence[str],
) -> bytes:  # fmt: skip
    """Return the page. `labels`: of each field, by language; `files`: the paths in the package, or folders that end with a slash.

    Raises KeyError for a language it is not written in.
    """
    first = WORDS[language]
    order = (language, *(one for one in LANGUAGES if one != language))
    parts = [
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8"><title>{escape(first["title"])}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<style>{_STYLE}</style></head><body><nav>",
        " · ".join(f'<a href="#{one}" lang="{one}">{WORDS[one]["language"]}</a>' for one in order),
        "</nav><main>",
        *(part for one in order for part in _section(one, controller, snapshot_at, labels, values, withheld, files)),
        "</main></body></html>\n",
    ]
    return "".join(parts).encode()


def _section(
    language: str, controller: str, snapshot_at: str, labels: Mapping[str, Mapping[str, str]], values: Sequence[Mapping[str, Any]],
    withheld: Sequence[Mapping[str, Any]], files: Sequence[str],
) -> Iterator[str]:  # fmt: skip
    words = WORDS[language]
    yield f'<section id="{language}" lang="{language}"><h1>{words["title"]}</h1>'
    yield f"<p>{words['by']}: {escape(controller)}. {words['made']} {escape(snapshot_at)}.</p>"
    named = [(labels[one["field"]][language], plain(one["value"]), words[one["origin"]]) for one in values]
    yield from _table(words["values"], (words["field"], words["value"], words["origin"]), named, words["none"])
    refused = [(labels[one["field"]][language], f"{one[language]} ({one['law']})") for one in withheld]
    yield from _table(words["withheld"], (words["field"], words["why"]), refused, words["none"])
    held = [
        (" ".join(one for one in (path, other) if one is not None and one in files), italian if language == "it" else english)
        for path, other, italian, english in FILES
        if path in files or other in files
    ]
    yield from _table(words["files"], (words["path"], words["what"]), held, words["none"])
    yield f"<h2>{words['check']}</h2><p>{words['how']}</p></section>"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> Iterator[str]:
    yield f"<table><caption>{caption}</caption><thead><tr>"
    yield "".join(f'<th scope="col">{one}</th>' for one in heads)
    yield "</tr></thead><tbody>"
    for first, *others in rows:
        yield f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(one)}</td>" for one in others) + "</tr>"
    if not rows:
        yield f'<tr><td colspan="{len(heads)}">{none}</td></tr>'
    yield "</tbody></table>"


def plain(value: Any) -> str:
    """Return a value as people read it: the members of an object one after another."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {cell(one).removeprefix(chr(39))}" for name, one in value.items() if one is not None)
    return value if isinstance(value, str) else cell(value)
