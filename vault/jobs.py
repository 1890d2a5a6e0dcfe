"""Work that waits: procrastinate tasks on PostgreSQL. Each calls one operation; arguments are ids only."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from threading import Lock

import sqlalchemy as sa
import structlog
from procrastinate import App, PsycopgConnector

from vault.assembly import Vault
from vault.connectors.mail import Mailer
from vault.connectors.processing_records import ProcessingRecords
from vault.connectors.webhooks import Webhooks
from vault.errors import PolicyUnavailable, VaultError
from vault.operations.build_exports import build_exports
from vault.operations.clear_answers import clear_answers
from vault.operations.confirm_affected import confirm_affected
from vault.operations.deliver_tasks import deliver_tasks, tell_tasks
from vault.operations.end_archives import end_archives
from vault.operations.expire import expire
from vault.operations.hold import end_holds
from vault.operations.keep_processing import keep_processing
from vault.operations.notify_recipients import notify_recipients
from vault.operations.project_disclosures import project_disclosures
from vault.operations.recheck_agreements import recheck_agreements
from vault.operations.replay import finish_acts
from vault.operations.retain import run_retention
from vault.operations.send_codes import send_codes
from vault.operations.send_letters import make_letters, send_letters
from vault.operations.tell_deadlines import tell_deadlines
from vault.operations.tell_of_grants import tell_of_grants
from vault.operations.tell_sources import tell_sources
from vault.rights.letters import Send

SCHEMA = "jobs"

log = structlog.get_logger()
_UNDER_WAY = timedelta(hours=1)  # longer than anything takes that is


def job_app(vault: Vault, url: str, scrub: Callable[[str], int], tend: Callable[[], int]) -> App:
    """Return the application whose tasks act on this vault; its tables are in schema `jobs`, outside row-level security.

    `scrub` reads one controller's trail again, `tend` does what is due of keys. What may take long is done once at a time: a
    queueing lock holds for what waits alone, so of a task that comes each minute a second would begin beside the first, and what
    ends agreements would wait for both.
    """
    confirming, projecting, notifying, delivering, writing, coding, scrubbing, packing, tending = (Lock() for _ in range(9))
    arguments = sa.make_url(url).set(username="riserbo_app").translate_connect_args(username="user", database="dbname")
    query = dict(sa.make_url(url).query)
    app = App(connector=PsycopgConnector(kwargs={**arguments, **query, "options": f"-c search_path={SCHEMA}"}))

    for name, cron, act in (
        ("expire_agreements", "*/10 * * * *", lambda: _in_each(vault, expire)),  # end what the clock has ended
        ("clear_answers", "15 * * * *", lambda: _in_each(vault, clear_answers)),  # stored answers whose day is over
        ("recheck_agreements", "30 2 * * *", lambda: _in_each(vault, _rechecked)),  # every state against its events
        ("tell_of_grants", "20 * * * *", lambda: _in_each(vault, tell_of_grants)),  # break-glass whose review is overdue
        ("finish_acts", "20 1 * * *", lambda: _in_each(vault, _finished)),  # what the ledger tells of and a commit did not keep
        ("end_archives", "45 1 * * *", lambda: _in_each(vault, end_archives)),  # what duties kept, and none keeps any more
        ("run_retention", "10 2 * * *", lambda: _in_each(vault, run_retention)),  # what no agreement keeps any more
        ("keep_processing", "50 2 * * *", lambda: _in_each(vault, _kept(vault))),  # the records of processing, where they changed
        ("end_holds", "5 * * * *", lambda: _in_each(vault, end_holds)),  # what lapsed, and what nobody reviewed
        ("tell_deadlines", "25 * * * *", lambda: _in_each(vault, tell_deadlines)),  # of requests, before they come
        ("tell_sources", "50 * * * *", lambda: _in_each(vault, tell_sources)),  # of data from others, before people must know
        ("confirm_affected", "* * * * *", lambda: _alone(confirming, lambda: _in_each(vault, confirm_affected))),
        ("project_disclosures", "* * * * *", lambda: _alone(projecting, lambda: _in_each(vault, project_disclosures))),
        ("notify_recipients", "* * * * *", lambda: _alone(notifying, lambda: _in_each(vault, notify_recipients))),
        ("deliver_tasks", "* * * * *", lambda: _alone(delivering, lambda: _delivered(vault))),
        ("write_letters", "* * * * *", lambda: _alone(writing, lambda: _mailed(vault, _written))),  # where there is a relay
        ("send_codes", "* * * * *", lambda: _alone(coding, lambda: _mailed(vault, send_codes))),  # somebody waits for them
        ("tell_tasks", "35 * * * *", lambda: _in_each(vault, tell_tasks)),  # of what recipients have not answered in time
        ("build_exports", "* * * * *", lambda: _alone(packing, lambda: _in_each(vault, build_exports))),
        ("scrub_trails", "0 3 * * *", lambda: _alone(scrubbing, lambda: _scrubbed_all(scrub, vault.database.controllers()))),
        ("tend_keys", "40 * * * *", lambda: _alone(tending, lambda: _put_off("tend_keys", tend))),
    ):
        _add(app, name, cron, act)
    return app


def _add(app: App, name: str, cron: str, act: Callable[[], int]) -> None:
    """Add a task that comes by itself; it returns how much it did."""

    @app.periodic(cron=cron)
    @app.task(name=name, queueing_lock=name, pass_context=False)
    def task(timestamp: int) -> int:  # noqa: ARG001  # procrastinate hands the scheduled instant over
        return act()


def _delivered(vault: Vault) -> int:
    with closing(Webhooks(vault.monotonic)) as post:
        return _in_each(vault, lambda governed, controller_id: deliver_tasks(governed, controller_id, post))


def _mailed(vault: Vault, act: Callable[[Vault, str, Send], int]) -> int:
    """Do in each controller what sends mail; nothing without a relay. Raises InvalidValue for a wrong one."""
    settings = vault.settings
    if settings.mail_url is None or settings.mail_from is None:
        return 0
    send = Mailer(settings.mail_url, settings.mail_from, settings.mail_credentials)
    return _in_each(vault, lambda governed, controller_id: act(governed, controller_id, send))


def _written(vault: Vault, controller_id: str, send: Send) -> int:
    make_letters(vault, controller_id)
    return send_letters(vault, controller_id, send)


def _finished(vault: Vault, controller_id: str) -> int:
    return _put_off("finish_acts", lambda: finish_acts(vault, controller_id, vault.now() - _UNDER_WAY))


def _kept(vault: Vault) -> Callable[[Vault, str], int]:
    folder = ProcessingRecords(vault.settings.records_of_processing)
    return lambda governed, controller_id: _put_off("keep_processing", lambda: keep_processing(governed, controller_id, folder))


def _rechecked(vault: Vault, controller_id: str) -> int:
    return len(recheck_agreements(vault, controller_id))


def _alone(lock: Lock, act: Callable[[], int]) -> int:
    """Do it and return what it does; 0 while this process does it already, for it comes to all there is."""
    if not lock.acquire(blocking=False):
        return 0
    try:
        return act()
    finally:
        lock.release()


def _put_off(step: str, act: Callable[[], int]) -> int:
    """Do it and return what it does; 0, and a line that says so, where it must wait."""
    try:
        return act()
    except VaultError as error:
        log.error("job_put_off", step=step, code=error.code)
        return 0


def _scrubbed_all(scrub: Callable[[str], int], controllers: Sequence[str]) -> int:
    """Scrub every trail; what nobody foresaw in one of them is raised once all were read."""
    found: list[int] = []
    with ExitStack() as each:
        for controller_id in reversed(controllers):  # the last one in is called first
            each.callback(lambda one: found.append(_scrubbed(scrub, one)), controller_id)
    return sum(found)


def _scrubbed(scrub: Callable[[str], int], controller_id: str) -> int:
    """Scrub one trail, whatever policy is in force and however the others stand; one that cannot be read is read tomorrow."""
    try:
        return scrub(controller_id)
    except VaultError as error:
        log.error("job_put_off", controller_id=controller_id, step="scrub", code=error.code)
        return 0


def _in_each(vault: Vault, act: Callable[[Vault, str], int]) -> int:
    """Do it for every controller under the rules in force there, and return the sum; where they are not certain, next time."""
    done = 0
    for controller_id in vault.database.controllers():
        try:
            governed = vault.governed(controller_id)
        except PolicyUnavailable as error:
            log.error("job_put_off", controller_id=controller_id, code=error.code)
            continue
        done += act(governed, controller_id)
    return done
