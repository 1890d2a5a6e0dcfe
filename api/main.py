"""The HTTP application: `create_app(vault)` makes it, `application` is the factory uvicorn is handed. Nothing happens at import."""

import gc
from asyncio import get_running_loop  # noqa: TID251 - anyio has no call that costs nothing
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import cache, partial

from anyio import to_thread
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from api.authentication import Guard, KeySource, Rules
from api.described import API_VERSION, declared_members
from api.express import Direct, Express
from api.problems import Shield, install
from api.requests_log import SLOT_S, Edge
from api.routes import (
    access,
    accesses,
    affected,
    agreements,
    breaches,
    break_glass,
    certificates,
    codes,
    corrections,
    decisions,
    exports,
    helpdesk,
    holds,
    log_exports,
    namings,
    notices,
    opendsr,
    opendsr_requests,
    processing,
    public,
    recipient_tasks,
    recipients,
    requests,
    retention,
    reveals,
    review,
    states,
    tickets,
    trail,
)
from api.routes.public import CheckOut
from vault.assembly import Vault
from vault.connectors.signing_keys import SigningKeys
from vault.errors import Fault, InvalidValue
from vault.lanes import Lanes
from vault.logs import LINES, configure_logs
from vault.opening import open_vault
from vault.operations.examine import Check
from vault.operations.promise import promise
from vault.settings import Settings, read_settings

YOUNG_OBJECTS = 20_000  # a batch of asks makes about as many, and frees them all
ROUTERS = (
    *(helpdesk.router, reveals.router, break_glass.router, agreements.router, states.router, tickets.router, decisions.router),
    *(access.router, accesses.router, namings.router, review.router, log_exports.router, breaches.router, exports.router),
    *(requests.router, holds.router, recipients.router, recipient_tasks.router, retention.router, processing.router),
    *(
        codes.router,
        corrections.router,
        opendsr_requests.router,
        opendsr.router,
        certificates.router,
        affected.router,
        notices.router,
    ),
    *(trail.router, trail.served, trail.public, public.router),
)
# The framework's own telemetry would export what bodies held and the text of exceptions.
_SILENT = TelemetryConfig(tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False)


class Application(FastAPI):
    """The framework's application behind our edge, which answers the direct routes before the framework sees them."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return what is served: the framework's stack, and ours around it."""
        vault: Vault = self.state.vault
        direct = [route for router in ROUTERS for route in router.routes if isinstance(route, Direct)]
        served = Shield(Express(super().build_middleware_stack(), direct))
        return Edge(served, vault.new_id, vault.monotonic, partial(promise, vault), self.state.slot_s)


def bare_app() -> Application:
    """Return the routes and their problems, with no vault behind them: enough to describe the API."""
    app = Application(
        title="Riserbo",
        version=API_VERSION,
        openapi_url=None,  # the document is docs/openapi.json
        docs_url=None,  # the framework's page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_SILENT,
    )
    for router in ROUTERS:
        app.include_router(router)
    install(app)
    return app


@cache
def _declared() -> frozenset[str]:
    """Return what any application of this process declares: to describe all routes takes half a second."""
    return declared_members(bare_app())


def create_app(
    vault: Vault,
    health: Callable[[], Sequence[Check]] = tuple,
    keys: KeySource | None = None,
    on_open: Callable[[], None] = lambda: None,
    on_close: Callable[[], None] = lambda: None,
    slot_s: float = SLOT_S,
) -> Application:
    """Return the application that serves this vault. Its disclosure lanes run while it does.

    `health` adds the checks of what runs beside the vault; `keys` replaces the issuer's key set, else fetched from its address.
    `on_open` is called when all is warm, before the first request. `slot_s`: a 404 leaves at a multiple of it.
    Raises InvalidValue when no token issuer is configured: then nobody could ever be believed.
    """
    rules, source = guard_settings(vault.settings), keys or issuer_keys(vault)
    app = bare_app()
    app.add_middleware(Shield)  # within the framework's own: it would answer an unknown error in plain text
    app.state.vault, app.state.rules, app.state.slot_s = vault, rules, slot_s
    app.state.guard = Guard(rules, source, vault.now, vault.monotonic)
    app.state.declared_members = cache(lambda: _declared() | vault.catalogue.fields.keys())
    app.state.named_fields = helpdesk.NamedFields()
    app.state.health = lambda: readiness(health, app.state.lanes)
    app.router.lifespan_context = _lifespan(vault, source, on_open, on_close)
    return app


def application() -> Application:
    """Open the vault the settings describe and return its application: what `riserbo serve` hands to uvicorn, as a factory."""
    configure_logs()  # each worker is a process of its own
    closing = ExitStack()
    with ExitStack() as opening:
        opened = opening.enter_context(open_vault(read_settings()))
        opened.require_policy()
        opened.require_trail()
        opened.require_ledger()
        app = create_app(opened.vault, opened.health, on_open=settle, on_close=closing.close)
        closing.push(opening.pop_all())  # from here on the application closes it; had it not been made, this block would have
    return app


def settle() -> None:
    """Hide what lives as long as this process from the garbage collector: each full collection would walk it, beside a request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


def guard_settings(settings: Settings) -> Rules:
    """Return what a token must say. A system's token is bound to its key, unless the settings (the demo's) say otherwise."""
    missing = [name for name in ("token_issuer", "jwks_url") if getattr(settings, name) is None]
    if settings.token_issuer is None or settings.jwks_url is None:
        raise InvalidValue("invalid-setting", faults=[Fault(f"RISERBO_{name.upper()}", "missing") for name in missing])
    return Rules(
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        algorithms=frozenset(settings.token_algorithms),
        host=settings.host,
        unbound_systems=settings.unbound_systems,
    )


def issuer_keys(vault: Vault) -> SigningKeys:
    """Return the configured issuer's key set, not fetched yet."""
    return SigningKeys(vault.settings.jwks_url or "", vault.monotonic)


def readiness(health: Callable[[], Sequence[Check]], lanes: Lanes) -> list[CheckOut]:
    """Return each line of readiness: name, yes or no, the limits it is close to, an age, a command; never a note."""
    others = (CheckOut(name=one.name, ok=one.ok, warnings=list(one.warnings), age_s=one.age_s, do=one.do) for one in health())
    return [CheckOut(name="disclosure_lanes", ok=lanes.alive()), *others]


def _lifespan(
    vault: Vault, source: KeySource, on_open: Callable[[], None], on_close: Callable[[], None]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def serving(app: FastAPI) -> AsyncIterator[None]:
        app.state.lanes = Lanes(vault)
        vault.policy.warm()
        on_open()
        try:
            with LINES.together(get_running_loop().call_soon):
                yield
        finally:
            await to_thread.run_sync(_close, app.state.lanes, source, on_close)

    return serving


def _close(lanes: Lanes, source: KeySource, on_close: Callable[[], None]) -> None:
    lanes.close()
    if isinstance(source, SigningKeys):
        source.close()
    on_close()
