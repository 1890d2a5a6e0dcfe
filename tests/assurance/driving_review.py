"""Canaries driven through the review of the log: every route, rightly and wrongly."""

from tests.assurance.canaries import STRAYS
from tests.assurance.driving import NOBODY, Outside, Person

PATH = "/v1/audit"


def review(outside: Outside, person: Person) -> None:
    """List, open, write about, count, keep filters and export; and fail to."""
    law, stray = {"Vault_Purpose": "legal-compliance"}, STRAYS["wrong type"]
    ticket = {"Vault_Ticket": person.tickets["t1"]}
    seen = outside.call(200, "GET", f"{person.path}/profile", "t1", **ticket)
    entry = f"{PATH}/entries/{seen['entry_id']}"
    query = f"subject_id={person.subject_id}&field=email&ticket={person.tickets['t1']}&agreement={person.agreement_id}"
    assert outside.call(200, "GET", f"{entry}?reason=SAMPLE", "dpo", **law)["of_entry_id"] == seen["entry_id"]
    outside.call(200, "GET", f"{PATH}/entries?limit=5", "dpo", **law)
    outside.call(200, "GET", f"{PATH}/entries?{query}", "dpo", **law)
    outside.call(400, "GET", f"{PATH}/entries?caller={STRAYS['claim']}", "dpo", **law)  # an address has no place in a URL
    for unfit in (f"purpose={STRAYS['query']}", f"limit={STRAYS['path']}", f"{STRAYS['query']}=1", "from=yesterday"):
        outside.call(400, "GET", f"{PATH}/entries?{unfit}", "dpo", **law)
    outside.call(422, "GET", f"{PATH}/entries?from=2020-01-01T00:00:00Z", "dpo", **law)
    outside.call(422, "GET", f"{PATH}/entries?cursor=AAAA", "dpo", **law)
    outside.call(403, "GET", f"{PATH}/entries", "t1", **ticket)
    outside.call(400, "GET", f"{entry}?reason={STRAYS['query']}", "dpo", **law)
    outside.call(404, "GET", f"{PATH}/entries/{STRAYS['path']}?reason=SAMPLE", "dpo", **law)
    note = {"state": "open", "note": STRAYS["justification"]}
    outside.call(201, "POST", f"{entry}/reviews", "dpo", note, **law)
    outside.call(409, "POST", f"{entry}/reviews", "dpo", note, **law)
    outside.call(422, "POST", f"{entry}/reviews", "dpo", {**note, "verdict": "breach"}, **law)
    outside.call(422, "POST", f"{entry}/reviews", "dpo", {STRAYS["unknown member"]: stray}, **law)
    outside.call(200, "GET", f"{PATH}/counts?by=purpose", "dpo", **law)
    outside.call(400, "GET", f"{PATH}/counts?by={STRAYS['query']}", "dpo", **law)
    outside.call(200, "PUT", f"{PATH}/filters/desk", "dpo", {"caller": STRAYS["claim"], "subject_id": NOBODY}, **law)
    outside.call(422, "PUT", f"{PATH}/filters/desk", "dpo", {"purpose": stray}, **law)
    outside.call(200, "GET", f"{PATH}/filters", "dpo", **law)
    outside.call(403, "GET", f"{PATH}/filters", "t1", **ticket)
    outside.call(200, "DELETE", f"{PATH}/filters/desk", "dpo", **law)
    outside.call(404, "DELETE", f"{PATH}/filters/desk", "dpo", **law)
    wish = {"format": "jsonl", "from": "2020-01-01T00:00:00Z", "to": "2090-01-01T00:00:00Z", "destination": "siem"}
    for form in ("jsonl", "ocsf"):
        outside.stream(200, f"{PATH}/exports", outside.headers("dpo", **law), {**wish, "format": form})
    outside.call(409, "POST", f"{PATH}/exports", "dpo", {**wish, "format": "garante"}, **law)
    outside.call(422, "POST", f"{PATH}/exports", "dpo", {**wish, "destination": stray}, **law)
