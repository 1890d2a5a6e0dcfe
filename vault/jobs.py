"""Work that waits: procrastinate tasks on PostgreSQL. Each calls one operation; arguments are ids only."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Lock

import sqlalchemy as sa
import structlog
from procrastinate import App, PsycopgConnector

from vault.assembly import Vault
from vault.errors import PolicyUnavailable, VaultError
from vault.operations.build_exports import build_exports
from vault.operations.clear_answers import clear_answers
from vault.operations.confirm_affected import confirm_affected
from vault.operations.expire import expire
from vault.operations.recheck_agreements import recheck_agreements
from vault.operations.tell_of_grants import tell_of_grants

SCHEMA = "jobs"

log = structlog.get_logger()


def job_app(vault: Vault, url: str, scrub: Callable[[str], int]) -> App:
    """Return the application whose tasks act on this vault; its tables are in schema `jobs`, outside row-level security.

    `scrub` reads one controller's trail again. What may take long is done once at a time: a queueing lock holds for what waits
    alone, so of a task that comes each minute a second would begin beside the first, and what ends agreements would wait for both.
    """
    confirming, scrubbing, packing = Lock(), Lock(), Lock()
    arguments = sa.make_url(url).set(username="riserbo_app").translate_connect_args(username="user", database="dbname")
    query = dict(sa.make_url(url).query)
    app = App(connector=PsycopgConnector(kwargs={**arguments, **query, "options": f"-c search_path={SCHEMA}"}))

    @app.periodic(cron="*/10 * * * *")
    @app.task(name="expire_agreements", queueing_lock="expire_agreements", pass_context=False)
    def expire_agreements(timestamp: int) -> int:  # noqa: ARG001  # procrastinate hands the scheduled instant over
        """End what the clock has ended, for every controller."""
        return _in_each(vault, expire)

    @app.periodic(cron="15 * * * *")
    @app.task(name="clear_answers", queueing_lock="clear_answers", pass_context=False)
    def clear_stored_answers(timestamp: int) -> int:  # noqa: ARG001  # as above
        """Delete stored answers whose day is over, for every controller."""
        return _in_each(vault, clear_answers)

    @app.periodic(cron="30 2 * * *")
    @app.task(name="recheck_agreements", queueing_lock="recheck_agreements", pass_context=False)
    def recheck_states(timestamp: int) -> int:  # noqa: ARG001  # as above
        """Compare every agreement's state with its events, for every controller; return how many differ."""
        return _in_each(vault, lambda one, controller_id: len(recheck_agreements(one, controller_id)))

    @app.periodic(cron="20 * * * *")
    @app.task(name="tell_of_grants", queueing_lock="tell_of_grants", pass_context=False)
    def tell_people(timestamp: int) -> int:  # noqa: ARG001  # as above
        """Tell people of break-glass whose review is overdue, for every controller; return how many."""
        return _in_each(vault, tell_of_grants)

    @app.periodic(cron="* * * * *")
    @app.task(name="confirm_affected", queueing_lock="confirm_affected", pass_context=False)
    def confirm_lists(timestamp: int) -> int:  # noqa: ARG001  # as above
        """Read every entry again for the lists of whose data was touched, for every controller; return how many were read."""
        return _alone(confirming, lambda: _in_each(vault, confirm_affected))

    @app.periodic(cron="* * * * *")
    @app.task(name="build_exports", queueing_lock="build_exports", pass_context=False)
    def build_packages(timestamp: int) -> int:  # noqa: ARG001  # as above
        """Make the packages people asked for, and end those that are over, for every controller; return how many were made."""
        return _alone(packing, lambda: _in_each(vault, build_exports))

    @app.periodic(cron="0 3 * * *")
    @app.task(name="scrub_trails", queueing_lock="scrub_trails", pass_context=False)
    def scrub_trails(timestamp: int) -> int:  # noqa: ARG001  # as above
        """Read every controller's trail again; return how many checks found something."""
        return _alone(scrubbing, lambda: _scrubbed_all(scrub, vault.database.controllers()))

    return app


def _alone(lock: Lock, act: Callable[[], int]) -> int:
    """Do it and return what it does; 0 while this process does it already, for it comes to all there is."""
    if not lock.acquire(blocking=False):
        return 0
    try:
        return act()
    finally:
        lock.release()


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
