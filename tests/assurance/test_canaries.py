"""Forty canaries and more are driven through a served vault, errors and crashes included, and met nowhere they may not be.

On a database, a home and processes of its own. First a leak is planted in each place that is searched, and must be found: only
then does a search that finds nothing prove something.
"""

import base64
import gzip
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest

from api.main import bare_app
from tests.assurance import canaries, driving, driving_review, leaks
from tests.assurance.canaries import FIELDS, IMPORTED, STRAYS, Canary, Hit, Search, planned
from tests.assurance.house import CONTROLLER, House, keeping_house, until
from tests.assurance.leaks import JOBS, PLACES, TABLES, WHILE_RUNNING, search_table
from tests.recipients.certificates import certificate
from vault.audit.merkle import TILE_WIDTH
from vault.profiles.normalise import normalise

MAPPING = Path(__file__).parents[2] / "samples" / "crm_it.mapping.yaml"
HEADER = MAPPING.with_name("crm_it.csv").read_bytes().splitlines()[0].decode("cp1252")
EVERYWHERE = [*PLACES, *TABLES, *JOBS]
CLOSED = {"gender", "preferred_language", "marketing_choice", "credit_score"}  # no value of theirs is anybody's own


@dataclass(frozen=True, slots=True)
class Searched:
    """What was met in each place, and how much was looked at."""

    hits: Mapping[str, list[Hit]]
    seen_bytes: Mapping[str, int]
    driven: frozenset[tuple[str, str]]  # method and path of what was answered, by status class
    canaries: int


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with keeping_house() as house:
        yield house


@pytest.fixture(scope="module")
def planted(house: House) -> dict[str, list[Hit]]:
    """What was found of the planted leaks, before anything was driven."""
    return leaks.planted(house)


@pytest.fixture(scope="module")
def searched(house: House, planted: dict[str, list[Hit]]) -> Searched:
    """Drive everything, crash, and search everywhere."""
    assert planted
    drive(house)
    known = [*planned(), *house.secrets]
    known += [Canary.of(f"passphrase {at}", passphrase) for at, passphrase in enumerate(house.outside.passphrases)]
    known += [Canary.of(f"token {at}", token.rpartition(".")[2]) for at, token in enumerate(house.outside.tokens[:10])]
    hits: dict[str, list[Hit]] = {}
    seen: dict[str, int] = {}
    search = Search(known)

    def look(place: str, found: list[Hit]) -> None:
        hits[place], seen[place] = found, search.seen_bytes - sum(seen.values())

    with psycopg.connect(house.alone.url) as owner:
        for table in [*TABLES, *JOBS]:
            look(table, search_table(owner, table, search))
    for place in WHILE_RUNNING:
        look(place, PLACES[place](house, search))
    house.kill(house.postmaster())
    until(lambda: house.outside.http.get("/readyz").status_code == 503)
    for place in PLACES.keys() - set(WHILE_RUNNING):
        look(place, PLACES[place](house, search))
    driven = frozenset((one.asked, str(one.status)) for one in house.outside.answers)
    return Searched(hits, seen, driven, len(known))


def drive(house: House) -> None:
    """Send canaries through every route and command, rightly, wrongly, and while parts fail."""
    outside = house.outside
    with ExitStack() as running:
        imports = [running.enter_context(house.running("import", *line)) for line in import_lines(house)]
        person, patient = (
            driving.enrol(outside, "retail", driving.RETAIL),
            driving.enrol(outside, "health-insurance", driving.PATIENT),
        )
        driving.refuse_enrolments(outside)
        desk = {"Vault_Ticket": person.tickets["t2"]}
        made = outside.call(201, "POST", f"{person.path}/agreements", "t2", driving.agreed("marketing"), **desk)
        outside.call(422, "POST", f"{person.path}/agreements", "t2", {**driving.agreed("marketing"), "language": "xx"}, **desk)
        driving.look_up(outside, person)
        driving.look_closer(outside, person)
        driving.break_glass(outside, person)
        for one in (person, patient):
            driving.read_as_everybody(outside, one)
            driving.read_accesses(outside, one)
        driving.take_away(outside, person, lambda: make_packages(house))
        driving.name_agents(outside, person)
        version = driving.change(outside, person, made["version"])
        driving.change_health(outside, patient)
        driving.set_states(outside, patient)
        driving.ask_of_decisions(outside, person)
        driving_review.review(outside, person)
        driving.handle_a_breach(outside)
        driving.ask_for_rights(outside, person, lambda request_id: put_back(house, request_id))
        driving.hold_back(outside, patient)
        driving.answer_for_tasks(outside, lambda: make_tasks(house))
        driving.look_at_recipients(outside)
        driving.look_at_retention(outside, lambda: run_retention(house))
        driving.send_malformed(outside)
        driving.send_bad_tokens(outside, person)
        driving.send_odd_requests(outside, person)
        driving.read_receipts(outside, person, made["agreement_id"])
        driving.read_the_log(outside, house.alone.url)
        driving.send_garbage(outside, house.port)
        assert [one.wait(60) for one in imports] == [0, 1]
    driving.fail_in_the_database(outside, person, house.alone.url, version)
    fail_to_import(house)
    crash(house)
    driving.look_at_a_plan(outside, person)
    driving.correct(outside, person)
    driving.read_as_everybody(outside, person)
    driving.end(outside, person, made["agreement_id"])
    with psycopg.connect(house.alone.url, autocommit=True) as owner:
        while entries(owner) < TILE_WIDTH:  # so that a tile is stored
            outside.call(200, "GET", f"{patient.path}/profile", "t1", Vault_Ticket=patient.tickets["t1"])
        until(lambda: owner.execute("SELECT count(*) FROM vault.audit_pending").fetchone() == (0,))


def put_back(house: House, request_id: str) -> None:
    """Let a request lie for forty days."""
    with psycopg.connect(house.alone.url) as owner:
        owner.execute("SET session_replication_role = replica")  # no trigger stops a superuser
        for table, at in (("request", "received_at"), ("request_step", "at")):
            back = f"UPDATE vault.{table} SET {at} = {at} - interval '40 days' WHERE request_id = %s"
            owner.execute(back.encode(), (request_id,))


def make_packages(house: House) -> None:
    """Make the packages that wait, as the operator would."""
    with house.running("exports", "exports", "make", "-c", CONTROLLER) as making:
        assert making.wait(60) == 0


def make_tasks(house: House) -> None:
    """Register the helpdesk as a recipient, and make what recipients are to be told, as the operator would."""
    (path := house.home / "tmp" / "desk.pem").write_bytes(certificate())
    terms = ("--party", "helpdesk", "--contract", "DPA 7", "--contract-from", "2026-01-01")
    where = ("--channel", "opendsr", "--endpoint", "https://desk.example/v2", "--certificate", str(path))
    with house.running("tasks", "recipients", "add", "helpdesk", *terms, *where, "-c", CONTROLLER) as adding:
        assert adding.wait(60) == 0
    with house.running("tasks", "recipients", "tell", "-c", CONTROLLER) as telling:
        assert telling.wait(60) == 0


def run_retention(house: House) -> None:
    """Remove what is over, as the operator would."""
    with house.running("retention", "retention", "run", "-c", CONTROLLER) as removing:
        assert removing.wait(60) == 0


def entries(owner: "psycopg.Connection[Any]") -> int:
    """Return how many entries have their position."""
    found = owner.execute("SELECT size FROM vault.audit_head").fetchone()
    return 0 if found is None else int(found[0])


def import_lines(house: House) -> list[list[str]]:
    """Write a file of good and spoilt lines and one without a header; return how each is imported."""
    good = {
        "Codice Cliente": IMPORTED["customer_number"], "Cognome": IMPORTED["family_name"], "Nome": IMPORTED["given_name"],
        "Sesso": "M", "Data di nascita": "20/03/1955", "Comune di nascita": IMPORTED["birth_place"],
        "Codice Fiscale": IMPORTED["tax_code"], "E-mail": IMPORTED["email"], "Cellulare": IMPORTED["mobile"],
        "Indirizzo": IMPORTED["address"]["street"], "CAP": "80133", "Comune": IMPORTED["address"]["city"], "Provincia": "NA",
        "IBAN": IMPORTED["iban"], "Numero polizza": IMPORTED["policy_number"], "Note operatore": IMPORTED["support_note"],
        "Contratto": "retail", "Data contratto": "11/10/2017", "Consenso marketing": "S", "Data consenso": "08/02/2026",
        "Canale consenso": "telefono",
    }  # fmt: skip
    spoilt = {
        "IBAN": "bad iban", "Codice Fiscale": "bad tax code", "E-mail": "bad mail", "Cellulare": "bad phone",
        "Data di nascita": "bad date", "Contratto": "bad template", "Note operatore": "card number",
        "Consenso marketing": "wrong type", "Canale consenso": "wrong type", "Codice Cliente": "bad number",
        "Reddito annuo": "wrong type",
    }  # fmt: skip
    numbered = enumerate(spoilt.items())
    rows = [good, *({**good, "Codice Cliente": f"ZQ-9{at}", column: STRAYS[stray]} for at, (column, stray) in numbered)]
    rows += [good, {**good, "Note operatore": STRAYS["wrong type"]}]  # the same number twice more
    lines = [HEADER, *(";".join(row.get(column, "") for column in HEADER.split(";")) for row in rows)]
    lines += [f"{lines[1]};{STRAYS['odd cell']}", f'"{STRAYS["open quote"]};{lines[1]}']
    undecodable = b"\x81" + lines[1].encode("cp1252")
    inbox = house.home / "inbox"
    (inbox / "spoilt.csv").write_bytes("\r\n".join(lines).encode("cp1252") + b"\r\n" + undecodable + b"\r\n")
    (inbox / "headerless.csv").write_text("\r\n".join([lines[1].replace("ZQ-", STRAYS["headerless"]), lines[1]]))
    return [["import", str(inbox / name), "--mapping", str(MAPPING), "-c", CONTROLLER] for name in ("spoilt.csv", "headerless.csv")]


def fail_to_import(house: House) -> None:
    """Import a good line that the database will not take."""
    file = house.home / "inbox" / "unlucky.csv"
    file.write_bytes((house.home / "inbox" / "spoilt.csv").read_bytes().split(b"\r\n")[1].replace(b"ZQ-8842015", b"ZQ-8842016"))
    file.write_bytes(HEADER.encode("cp1252") + b"\r\n" + file.read_bytes())
    table = "ALTER TABLE vault.import_line"
    line = ["import", str(file), "--mapping", str(MAPPING), "-c", CONTROLLER, "--json"]
    breaking, mending = f"{table} ADD CONSTRAINT canary CHECK (false) NOT VALID", f"{table} DROP CONSTRAINT canary"
    with driving.broken(house.alone.url, breaking, mending), house.running("import", *line) as unlucky:
        assert unlucky.wait(60) == 1


def crash(house: House) -> None:
    """Kill the process of the database that is inserting somebody. The whole server starts anew, and so must the vault."""
    outside, url = house.outside, house.alone.url
    sleeping = (
        "CREATE FUNCTION vault.canary() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;"
    )
    sleeping += " CREATE TRIGGER canary AFTER INSERT ON vault.profile_frame EXECUTE FUNCTION vault.canary()"
    terms = [driving.agreed("retail", channel="phone")]
    body = {"fields": {**driving.RETAIL, "customer_number": "ZQ-7731999-K"}, "agreements": terms}
    mending = "DROP TRIGGER canary ON vault.profile_frame; DROP FUNCTION vault.canary()"
    with driving.broken(url, sleeping, mending):
        caught = Thread(target=outside.call, args=(503, "POST", "/v1/subjects", "system", body))
        caught.start()
        with psycopg.connect(url, autocommit=True) as owner:
            until(lambda: inserting(owner) is not None)
            house.kill(inserting(owner) or 0)
        caught.join()
        until(lambda: reachable(url))
    house.await_ready()
    assert "terminated by signal 9" in (house.data / "log").read_text()


def reachable(url: str) -> bool:
    """Return true, or raise OperationalError while the database recovers."""
    psycopg.connect(url).close()
    return True


def inserting(owner: "psycopg.Connection[Any]") -> int | None:
    """Return the process that is inserting a frame."""
    asked = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'INSERT INTO vault.profile_frame%'"
    found = owner.execute(asked.encode()).fetchone()
    return None if found is None else int(found[0])


# --- the canaries themselves ---------------------------------------------------------------------------------------------------


def test_there_are_forty_canaries_and_each_field_that_can_hold_one_has_its_own() -> None:
    known = canaries.fields()
    fields = {**FIELDS, **canaries.HEALTH, **canaries.UNSHARED}
    assert fields.keys() | CLOSED == {name for name, one in known.items() if one.type != "file"}
    assert {known[name].class_name for name in fields} == {"contact", "financial", "special"}  # attachments: no route takes files
    assert len(planned()) >= 40
    assert len({spelling for one in planned() for spelling in one.spellings}) >= len(planned())
    for values in (fields, canaries.CHANGED, canaries.SOUGHT, IMPORTED):
        for name, value in values.items():
            normalise(known[name].type, value)  # or InvalidValue


def test_each_spelling_of_each_canary_is_found_wherever_it_stands() -> None:
    search = Search(planned())
    for canary in planned():
        for at, (encoding, needle) in enumerate(canary.needles()):
            found = search.octets("there", b"\xa5" * (at % 7 + 1) + needle + b"\xa5" * (at % 3))
            assert canary.name in {hit.canary for hit in found} or encoding in {hit.encoding for hit in found}, (
                canary.name,
                encoding,
            )


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_a_canary_inside_base64_or_a_packed_stream_is_found(offset: int) -> None:
    canary = Canary.of("planted", "piantato-000-qzx")
    inside = b"x" * offset + b"piantato-000-qzx" + b"y" * (offset + 1)
    search = Search([canary])
    assert search.octets("there", base64.b64encode(inside))
    assert search.octets("there", b"\0\0\0" + gzip.compress(inside) + b"\0")
    assert not search.octets("there", base64.b64encode(inside.replace(b"piantato", b"piantata")))


def test_no_hit_prints_what_was_found() -> None:
    canary = Canary.of("planted", "piantato-000-qzx")
    assert "piantato" not in repr(Search([canary]).octets("there", b"piantato-000-qzx")) + repr(canary)


# --- nothing is met --------------------------------------------------------------------------------------------------------------


def test_a_leak_planted_in_each_place_is_found(planted: Mapping[str, list[Hit]]) -> None:
    assert {place: {hit.canary for hit in hits} for place, hits in planted.items()} == {place: {place} for place in EVERYWHERE}


def test_every_operation_was_driven_rightly_and_wrongly(searched: Searched) -> None:
    answered: dict[str, set[str]] = {}
    for path, methods in bare_app().openapi()["paths"].items():
        fixed = [part for part in path.replace(":", "/").split("/") if part and "{" not in part]
        for method, operation in methods.items():
            for asked, status in searched.driven:
                verb, _, where = asked.partition(".p/")[0].partition(" ")  # a part of a tile is a tile
                if verb.lower() == method and all(part in where for part in fixed) and where.count("/") == path.count("/"):
                    answered.setdefault(operation["operationId"], set()).add(status[0])
    public = {"live", "ready", "discover", "discoverOpenDsr", "listTemplates", "listNotices"}
    operations = {one["operationId"] for methods in bare_app().openapi()["paths"].values() for one in methods.values()}
    assert {name for name, statuses in answered.items() if "2" in statuses} == operations
    assert {name for name, statuses in answered.items() if "4" in statuses} >= operations - public
    assert {status for _, status in searched.driven} >= {
        str(one) for one in (200, 201, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 428, 429, 503)
    }


def test_no_canary_is_met_anywhere(searched: Searched) -> None:
    assert searched.hits.keys() == set(EVERYWHERE)
    assert [(place, hit) for place, hits in searched.hits.items() for hit in hits] == []


def test_the_places_held_something(searched: Searched) -> None:
    """A search of nothing finds nothing. Rejected entries, checkpoints' notes and the like may be empty."""
    filled = {
        "heap", "write-ahead log", "server log", "logs and command output", "import reports", "the rest of the home", "answers",
        "vault.audit_entry", "vault.audit_detail", "vault.audit_lookup", "vault.audit_tile", "vault.event", "vault.stored_answer",
        "vault.profile_frame", "vault.field_history", "vault.import_line", "keys.blind_index", "keys.token", *JOBS[:1],
    }  # fmt: skip
    assert {place for place, seen in searched.seen_bytes.items() if seen} >= filled
