"""Jobs: a worker of the real queue carries out one, and what lies in the queue names nobody."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from procrastinate import App
from procrastinate.exceptions import AlreadyEnqueued
from structlog.testing import capture_logs

from tests.conftest import Controllers
from tests.makers import make_context, make_subject
from tests.relay import relaying
from vault import answers
from vault.assembly import Vault
from vault.database import Database
from vault.errors import AuditUnavailable
from vault.jobs import job_app
from vault.operations.open_request import Asked, open_request

VALUES = {"given_name": "Giulia", "email": "giulia@example.it"}


class OfOne(Database):
    """The database as if it knew one controller: what the others keep is other tests' business."""

    only = ""
    others: tuple[str, ...] = ()

    def controllers(self) -> list[str]:
        """Return the one."""
        return [*self.others, self.only]


@pytest.fixture
def later(vault: Vault, controller_id: str, database_url: str) -> Iterator[Vault]:
    """The vault three years from now."""
    database = OfOne(database_url, "riserbo_app")
    database.only = controller_id
    yield replace(vault, database=database, now=lambda: vault.now() + timedelta(days=3 * 366))
    database.close()


@pytest.fixture
def jobs(later: Vault, database_url: str) -> Iterator[App]:
    yield job_app(later, database_url, lambda _: 0, lambda: 0)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("SET search_path = jobs")  # its triggers name their tables without a schema
        owner.execute("DELETE FROM procrastinate_jobs")


def queued(database_url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as owner:
        columns = "task_name, status::text, args ->> 'timestamp', queueing_lock"
        return owner.execute(f"SELECT {columns} FROM jobs.procrastinate_jobs WHERE args ->> 'timestamp' = '7'".encode()).fetchall()


def test_a_worker_ends_what_the_clock_has_ended(vault: Vault, controller_id: str, jobs: App, database_url: str) -> None:
    made = make_subject(vault, controller_id, VALUES, ("marketing",))
    with jobs.open():
        jobs.tasks["expire_agreements"].defer(timestamp=7)
        with pytest.raises(AlreadyEnqueued):  # one waiting is enough: it ends all there is
            jobs.tasks["expire_agreements"].defer(timestamp=8)
    assert queued(database_url) == [("expire_agreements", "todo", "7", "expire_agreements")]
    jobs.run_worker(wait=False, install_signal_handlers=False, listen_notify=False)
    assert queued(database_url) == [("expire_agreements", "succeeded", "7", "expire_agreements")]
    with psycopg.connect(database_url) as owner:
        asked = "SELECT status FROM vault.agreement_state WHERE controller_id = %s AND agreement_id = %s"
        assert owner.execute(asked, (controller_id, made.agreements[0])).fetchone() == ("ended",)


def test_a_worker_says_how_many_agreements_differ_from_their_events(
    vault: Vault, controller_id: str, jobs: App, database_url: str
) -> None:
    make_subject(vault, controller_id, VALUES, ("marketing",))
    with psycopg.connect(database_url) as owner:
        owner.execute("UPDATE vault.agreement_state SET consent = 'none' WHERE controller_id = %s", (controller_id,))
    assert jobs.tasks["recheck_agreements"].func(0) == 1


def test_a_worker_clears_the_answers_whose_day_is_over(later: Vault, controller_id: str, jobs: App) -> None:
    with later.database.transaction(controller_id) as rows:
        for number, hours in enumerate((-1, 0, 1)):
            answers.claim(rows, controller_id, bytes([number]), b"digest", later.now(), later.now() + timedelta(hours=hours))
    assert jobs.tasks["clear_answers"].func(0) == 2
    with later.database.snapshot(controller_id) as rows:
        assert [answers.find(rows, controller_id, bytes([number])) is None for number in range(3)] == [True, True, False]


def test_a_worker_writes_letters_where_there_is_a_relay(vault: Vault, later: Vault, controller_id: str, database_url: str) -> None:
    subject_id = make_subject(vault, controller_id, VALUES).subject_id
    own = make_context(controller_id, "customer", subject_id=subject_id, purpose="rights-fulfilment")
    open_request(vault, own, subject_id, Asked("access"))
    now = replace(later, now=vault.now)
    assert job_app(now, database_url, lambda _: 0, lambda: 0).tasks["write_letters"].func(0) == 0
    with relaying() as relay:
        stated = {"mail_url": f"smtp://127.0.0.1:{relay.port}", "mail_from": "privacy@acme.example"}
        sending = replace(now, settings=vault.settings.model_copy(update=stated))
        assert job_app(sending, database_url, lambda _: 0, lambda: 0).tasks["write_letters"].func(0) == 1
        assert [to for to, _ in relay.taken] == [VALUES["email"]]


def test_a_worker_finds_nobody_to_tell_where_nothing_was_opened(jobs: App) -> None:
    assert jobs.tasks["tell_of_grants"].func(0) == 0


def test_a_worker_keeps_the_records_of_processing_of_whoever_it_can(
    later: Vault, controllers: Controllers, controller_id: str, database_url: str, tmp_path: Path
) -> None:
    database, other = later.database, controllers()
    assert isinstance(database, OfOne)
    database.others = (other,)
    (tmp_path / other).write_text("in the way")
    kept = replace(later, settings=later.settings.model_copy(update={"processing_records": tmp_path}))
    with capture_logs() as lines:
        assert job_app(kept, database_url, lambda _: 0, lambda: 0).tasks["keep_processing"].func(0) == 1
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == [controller_id]
    assert [one["code"] for one in lines if one["event"] == "job_put_off"] == ["records-not-writable"]


def test_the_jobs_come_by_themselves(jobs: App) -> None:
    tasks = jobs.periodic_registry.periodic_tasks
    assert {name: one.cron for (name, _), one in tasks.items()} == {
        "expire_agreements": "*/10 * * * *",
        "clear_answers": "15 * * * *",
        "recheck_agreements": "30 2 * * *",
        "tell_of_grants": "20 * * * *",
        "finish_acts": "20 1 * * *",
        "end_archives": "45 1 * * *",
        "keep_processing": "50 2 * * *",
        "end_holds": "5 * * * *",
        "tell_deadlines": "25 * * * *",
        "tell_sources": "50 * * * *",
        "confirm_affected": "* * * * *",
        "project_disclosures": "* * * * *",
        "notify_recipients": "* * * * *",
        "run_retention": "10 2 * * *",
        "deliver_tasks": "* * * * *",
        "tell_tasks": "35 * * * *",
        "write_letters": "* * * * *",
        "send_codes": "* * * * *",
        "build_exports": "* * * * *",
        "scrub_trails": "0 3 * * *",
        "tend_keys": "40 * * * *",
    }


def test_a_worker_scrubs_every_trail_whatever_became_of_another(later: Vault, controller_id: str, database_url: str) -> None:
    asked: list[str] = []

    def scrub(one: str) -> int:
        asked.append(one)
        if one == "broken":
            raise AuditUnavailable
        return 2

    database = later.database
    assert isinstance(database, OfOne)
    database.others = ("broken",)
    with capture_logs() as lines:
        assert job_app(later, database_url, scrub, lambda: 0).tasks["scrub_trails"].func(0) == 2
    assert asked == ["broken", controller_id]
    assert {**lines[-1]} == {
        "event": "job_put_off", "log_level": "error", "controller_id": "broken", "step": "scrub", "code": "audit-unavailable",
    }  # fmt: skip


def test_what_nobody_foresaw_in_one_trail_is_raised_once_all_were_read(later: Vault, controller_id: str, database_url: str) -> None:
    asked: list[str] = []

    def scrub(one: str) -> int:
        asked.append(one)
        if one == "odd":
            raise AttributeError
        return 0

    database = later.database
    assert isinstance(database, OfOne)
    database.others = ("odd", "third")
    with pytest.raises(AttributeError):
        job_app(later, database_url, scrub, lambda: 0).tasks["scrub_trails"].func(0)
    assert asked == ["odd", "third", controller_id]


@pytest.mark.parametrize("name", ["scrub_trails", "confirm_affected"])
def test_what_takes_long_is_done_once_at_a_time(later: Vault, database_url: str, name: str) -> None:
    inside, go_on, asked = Event(), Event(), []

    def long(one: str) -> int:
        asked.append(one)
        inside.set()
        assert go_on.wait(30)
        return 1

    class Slow(OfOne):
        def controllers(self) -> list[str]:
            long("controllers")
            return []

    slow = Slow(database_url, "riserbo_app")
    task = job_app(replace(later, database=slow), database_url, long, lambda: 0).tasks[name]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(task.func, 0)
        assert inside.wait(30)
        assert task.func(0) == 0
        assert asked == ["controllers"]
        go_on.set()
        assert first.result(30) == 0
    assert task.func(0) == 0  # and it is done again afterwards
    assert asked == ["controllers", "controllers"]
    slow.close()


def test_of_several_workers_one_scrubs(jobs: App, database_url: str) -> None:
    with jobs.open():
        jobs.tasks["scrub_trails"].defer(timestamp=7)
        with pytest.raises(AlreadyEnqueued):
            jobs.tasks["scrub_trails"].defer(timestamp=7)
    assert queued(database_url) == [("scrub_trails", "todo", "7", "scrub_trails")]
