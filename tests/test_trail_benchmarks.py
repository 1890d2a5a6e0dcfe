"""What the figures of a long trail rest on: the log that is loaded is one, and what is asked of it is answered."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import orjson
import psycopg
import pytest

from benchmarks.affected import tag_for
from benchmarks.trail import GATES
from benchmarks.trail_log import SNOOP, Keys, Made, load, snooped, spread_over_months
from benchmarks.trail_pages import PAGES, Asker
from benchmarks.trail_verify import _growth
from tests.audit.makers import SECRET, Log, log_on, mac
from tests.policy.makers import seeded
from vault.audit import entry
from vault.connectors.embedded_postgres import PostgresServer, admin_url, ensure_database
from vault.operations.migrate import migrate

ENTRIES = 3_000


def _first_key(controller_id: str, writer_id: str) -> bytes:
    return mac("audit-mac/1", entry.first_mac_message(controller_id, writer_id))


@pytest.fixture(scope="module")
def long(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Log, Asker]]:
    """A log of two years in a database of its own, loaded in two steps."""
    ensure_database(postgres, "long")
    url = admin_url(postgres, "long")
    migrate(url, url)
    until = datetime.now(UTC)
    with log_on(url, tmp_path_factory.mktemp("state")) as log:
        first_key = partial(_first_key, log.controller_id)
        keys = Keys(log.controller_id, log.origin, first_key, SECRET)
        made = Made(keys, ENTRIES, [], until)
        with psycopg.connect(url, autocommit=True) as connection:
            spread_over_months(connection, until, ENTRIES)
            load(connection, made, 700, lambda _: None)
            load(connection, made, made.total, lambda _: None)
            connection.execute("ANALYZE vault.audit_lookup")
        yield log, Asker(log.app, log.controller_id, int(until.timestamp() * 1000), entry.lookup_key(SECRET), seeded(1))


def test_the_log_that_is_loaded_is_a_log(long: tuple[Log, Asker]) -> None:
    log, _ = long
    log.signer().run_once(log.controller_id)
    report = log.verify(keys=None, alone=True)
    assert report.ok, report.findings
    assert report.size == ENTRIES
    daily = log.ask("SELECT sum(entries), sum(clear_values) FROM vault.audit_daily WHERE controller_id = %s", log.controller_id)
    looked = log.ask("SELECT count(*), sum(clear_count) FROM vault.audit_lookup WHERE controller_id = %s", log.controller_id)
    assert daily == looked


def test_each_month_has_its_partition_and_rows_in_it(long: tuple[Log, Asker]) -> None:
    log, _ = long
    held = log.ask("SELECT tableoid::regclass::text, count(*) FROM vault.audit_lookup GROUP BY 1")
    assert len(held) in (24, 25)
    assert not {name for name, _ in held if name.endswith(("_first", "_rest"))}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_the_newest_of_what_was_asked_for(long: tuple[Log, Asker], page: str) -> None:
    log, asker = long
    asked = asker.asked(page)
    with log.app.snapshot(log.controller_id) as rows:
        found = asker.page(rows, asked)
    places = [one.place for one in found]
    assert places == sorted(places, reverse=True)
    assert all(asked.window.begins <= at < asked.window.ends for at, _ in places)
    assert None not in [one.leaf for one in found]
    assert asker.page_ms(page, 3) > 0
    assert all("Seq Scan" in line for line in asker.sequential_scans(page))  # of a month with a hundred rows it may be right


def test_each_leaf_names_its_person_to_who_holds_their_key_and_no_other(long: tuple[Log, Asker]) -> None:
    log, asker = long
    held = log.ask(
        "SELECT subject_id, entry_id, chain_previous, leaf FROM vault.audit_detail"
        " JOIN vault.audit_entry USING (controller_id, era, position) WHERE controller_id = %s AND stream = 'open'",
        log.controller_id,
    )
    assert len(held) > ENTRIES * 0.7
    for subject_id, entry_id, previous, leaf in held:
        tag = orjson.loads(leaf)["subject"]
        assert tag == tag_for(subject_id, entry_id, bytes(previous))
        assert tag != tag_for("sub_another", entry_id, bytes(previous))
    looked_at = log.ask("SELECT subject_id FROM vault.audit_lookup WHERE caller_id = %s", SNOOP)
    assert looked_at
    assert {one for (one,) in looked_at} <= {*snooped()}
    assert asker.proof_ms(3) > 0
    assert asker.counts_ratio(3) > 0


def test_growth_is_judged_after_buffers_were_filled() -> None:
    flat = [10, *[100] * 19]
    assert _growth(flat) == 1.0
    assert _growth([*flat, 150]) == 1.5


def test_no_gate_is_named_twice() -> None:
    assert len({gate.path for gate in GATES}) == len(GATES)
