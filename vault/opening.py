"""Where a vault is put together, once: from settings to a running `Vault` with its database, keyring, policies and trail."""

import secrets  # noqa: TID251 - ids and the embedded credential are drawn here
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import structlog

from vault.assembly import Rules, Vault
from vault.audit.checkpoint import origin, parse_note
from vault.audit.health import Measure, TrailHealth
from vault.audit.recorder import Recorder
from vault.audit.records import head
from vault.audit.recovering import Rejected
from vault.audit.scan import GivenNote, Report
from vault.audit.sequencer import Sequencer
from vault.audit.signer import FAULTS, Signer
from vault.audit.trail import Trail
from vault.audit.watch import Watch
from vault.connectors.announcer import announcing
from vault.connectors.embedded_postgres import admin_url, ensure_database, start_embedded
from vault.connectors.key_exports import KeyExports, pieces_of
from vault.connectors.keyrings.file import FILE_NAME, FileKeyring, Seal, make_keyring
from vault.connectors.policy_keys import read_witnesses
from vault.connectors.publishers import read_publisher
from vault.connectors.signer_state import DirectorySignerState
from vault.database import Database
from vault.errors import AuditUnavailable, Fault, KeysUnavailable, NotFound, PolicyUnavailable
from vault.fitting import (
    CHECKPOINT_KEY,
    NAMES,
    controller_keys,
    controller_of,
    ledger_of,
    mac_of,
    mac_of_those_there,
    pools,
    signing_of,
)
from vault.following import LEVEL, REPLAY, Following
from vault.keys import data_keys
from vault.keys.controller_keys import ControllerKeys
from vault.keys.draws import draw
from vault.octets import base32_id
from vault.operations.activate import begin
from vault.operations.change_epoch import Standing as EpochStanding
from vault.operations.change_epoch import change_epochs
from vault.operations.controllers import add_controller
from vault.operations.destroy_epochs import Root, destroy_epoch, roots
from vault.operations.examine import Check
from vault.operations.export_keys import Exported, export_keys, restore_keys
from vault.operations.in_force import DIFFERS
from vault.operations.migrate import migrate
from vault.operations.on_ledger import found_on_ledger
from vault.operations.prune_trail import Pruning, prune_trail
from vault.operations.recover import Decided, Recovered, Tools, recover, reject
from vault.operations.replay import Replayed, catch_up, replay
from vault.operations.scrub_trail import scrub_check, scrub_trail
from vault.operations.tend_keys import tend_keys
from vault.operations.verify_trail import verify_recent, verify_trail
from vault.policy.bundle import Bundle, load_bundle
from vault.settings import Settings
from vault.standing import Standing
from vault.tickets import PushedTickets

ROLES = ("riserbo_app", "riserbo_sequencer", "riserbo_signer")
log = structlog.get_logger()
CREDENTIAL_BYTES = 32
RECOVER = "riserbo audit recover"
SETTLES_WITHIN_S = 2.0  # somebody waits for it


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the database is: `url` for the roles of the application, `admin_url` of a superuser where one is known."""

    url: str
    admin_url: str | None


@contextmanager
def reach_database(settings: Settings) -> Iterator[Addresses]:
    """Yield the addresses: of the server the settings name, or of the embedded one, started here and stopped with the last user."""
    if settings.database_url is not None:
        yield Addresses(settings.database_url, settings.database_admin_url)
        return
    server = start_embedded(settings.data)
    try:
        ensure_database(server)
        migrate(admin_url(server), admin_url(server))  # the embedded server is ours alone: always at this version
        yield Addresses(admin_url(server), admin_url(server))
    finally:
        server.cleanup()


def open_keyring(settings: Settings) -> FileKeyring:
    """Open the file keyring; at the first embedded start make it, and the credential that unseals it (0600).

    Raises KeysUnavailable where the file or its permissions will not do: a vault without keys does not start.
    """
    if not (settings.keyring / FILE_NAME).exists() and settings.database_url is None:
        if (settings.state / "checkpoints.log").exists():
            raise KeysUnavailable("keyring-missing")  # there is a vault here: another keyring would open none of it
        found_keyring(settings)
    keyring = FileKeyring(settings.keyring, _seal(settings), forbidden=_forbidden(settings), now=now, draw=secrets.token_bytes)
    for name in NAMES:
        keyring.ensure(name)
    return keyring


def restore_exported_keys(settings: Settings, file: Path) -> dict[str, int]:
    """Put a key export into a database that has its data and no keys; return how many rows for each controller."""
    with reach_database(settings) as addresses, pools(addresses.url, "riserbo_app") as app:
        keyring = open_keyring(settings)
        ledger_n = ledger_of(keyring, settings).tail().number
        return restore_keys(app, keyring, settings.installation, ledger_n, lambda: pieces_of(file))


def _forbidden(settings: Settings) -> list[Path]:
    """Return where nothing may lie that must not come back with the database."""
    return [settings.data, settings.state]


def found_keyring(settings: Settings) -> None:
    """Make an empty keyring, and the credential that unseals it (0600) where there is none. KeysUnavailable if one exists."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o711)
    if not settings.credential.exists():
        settings.credential.touch(mode=0o600)
        settings.credential.write_bytes(secrets.token_bytes(CREDENTIAL_BYTES))
    make_keyring(settings.keyring, _seal(settings), forbidden=_forbidden(settings), draw=secrets.token_bytes)


def _seal(settings: Settings) -> Seal:
    try:
        if settings.credential.stat().st_mode & 0o077:
            raise KeysUnavailable("credential-readable-by-others")
        return Seal("credential", settings.credential.read_bytes())
    except OSError:
        raise KeysUnavailable("credential-missing") from None


def now() -> datetime:
    """Return the instant, in UTC."""
    return datetime.now(UTC)  # noqa: TID251  # the clock every verb is handed


def new_id(prefix: str) -> str:
    """Return `<prefix>_` and 26 base32 characters of 128 random bits."""
    return f"{prefix}_{base32_id(draw(16))}"


def draw_seed() -> bytes:
    """Return 32 random bytes, for a person's own key."""
    return draw(32)


@dataclass(frozen=True, slots=True)
class Opened:
    """A running vault and what runs beside it. `health` are the lines of `/readyz` beyond those the vault answers itself."""

    vault: Vault
    keyring: FileKeyring
    trail: Trail
    signer: Signer
    state: DirectorySignerState
    addresses: Addresses
    sequencing: Database
    trail_health: TrailHealth
    bundle: Bundle  # the one of the settings: what a controller created here begins with
    rules: Rules  # of this bundle
    standing: Standing
    following: Following

    @property
    def repairing(self) -> Vault:
        """The vault for what brings a database level with the ledger: it acts while nobody is served."""
        return replace(self.vault, in_force=self.standing.in_force)

    def health(self) -> list[Check]:
        """Return the checks of the key service, and of each controller's trail and policy."""
        held = self.keyring.health()
        checks = [Check("key_service", held.answers, held.code)]
        for controller_id in self.vault.database.controllers():
            trail = self.trail_health.state(controller_id)
            went_back = not set(FAULTS).isdisjoint(trail.closed)
            checks.append(
                Check(
                    f"audit_trail of {controller_id}",
                    not trail.closed,
                    " ".join((*trail.closed, *trail.warnings)),
                    trail.warnings,
                    do=RECOVER if went_back else None,
                )
            )
            checks.append(Check(f"witness of {controller_id}", ok=True, age_s=_age(trail.measure)))
            checks.append(scrub_check(self.vault, controller_id))
            checks.append(Check(f"policy of {controller_id}", *self.standing.state(controller_id)))
            stands = self.following.state(controller_id)
            level = stands == LEVEL
            note, do = "" if level else f"ledger-{stands}", REPLAY if stands == "ahead" else None
            checks.append(Check(f"erasure_ledger of {controller_id}", level, note, do=do))
        return checks

    def require_policy(self) -> None:
        """Expect that table and trail agree on what policy is in force, for every controller. Raises PolicyUnavailable.

        For whoever is about to serve: somebody with rights on the database is no danger to one controller alone.
        """
        for controller_id in self.vault.database.controllers():
            if self.standing.state(controller_id)[1] == DIFFERS:
                raise PolicyUnavailable(DIFFERS, faults=[Fault(controller_id, DIFFERS)])

    def verify(self, controller_id: str, against: Sequence[GivenNote] = (), receipts: Sequence[str] = ()) -> Report:
        """Verify a controller's trail with everything at hand, and the notes and receipts somebody brings."""
        key, mac = self.keyring.public_key(CHECKPOINT_KEY), mac_of_those_there(self.keyring)
        return verify_trail(self.vault, self.sequencing, controller_id, self.state, key, mac, against, receipts)

    def scrub(self, controller_id: str) -> int:
        """Read a controller's trail again, as far as is due tonight, and record it; return how many checks found something."""
        key, mac = self.keyring.public_key(CHECKPOINT_KEY), mac_of_those_there(self.keyring)

        def read(since: datetime | None) -> Report:
            if since is None:
                return self.verify(controller_id)
            return verify_recent(self.vault, self.sequencing, controller_id, self.state, key, mac, since)

        return scrub_trail(self.vault, controller_id, read)

    def prune(self, controller_id: str, before: datetime, archive: Path) -> Pruning | None:
        """Prune a controller's trail with the owner's rights, below its last checkpoint; None when there is nothing to prune."""
        with self.vault.database.snapshot(controller_id) as rows:
            at = head(rows, controller_id)
        text = self.state.last(origin(self.vault.settings.host, controller_id, at.era)) if at is not None else None
        signed = parse_note(text).checkpoint.size if text is not None else 0
        with pools(self.addresses.url, "riserbo_owner") as owner:
            return prune_trail(self.vault, owner, controller_id, before, archive, signed=signed, settle=self.trail.settle)

    def require_trail(self) -> None:
        """Expect that no log went back behind what was signed. Raises AuditUnavailable, which names the command that helps.

        For whoever is about to serve: a vault on yesterday's database does not start.
        """
        faults = [
            Fault(controller_id, f"{fault}: run `{RECOVER}`")
            for controller_id in self.vault.database.controllers()
            for fault in self.trail_health.state(controller_id).closed
            if fault in FAULTS
        ]
        if faults:
            raise AuditUnavailable("log-went-back", faults=faults, retry_after_s=60)

    def require_ledger(self) -> None:
        """Expect that no database went back behind the erasure ledger. Raises LedgerUnavailable: a vault does not start on one."""
        for controller_id in self.vault.database.controllers():
            self.following.require(controller_id)

    def replay(self, controller_id: str) -> Replayed:
        """Carry out what the ledger tells of and a restored database does not show. Raises LedgerUnavailable, AuditUnavailable."""
        done = replay(self.repairing, controller_id)
        self.following.state(controller_id)
        return done

    def recover(self, controller_id: str, decided: Decided) -> Recovered:
        """Freeze a log that went back behind what was signed, and begin its next era."""
        return recover(self.vault, self._tools(), controller_id, decided)

    def reject(self, controller_id: str, writer_id: str, decided: Decided) -> Rejected:
        """Move the pending rows of a broken writer aside."""
        return reject(self.vault, self._tools(), controller_id, writer_id, decided)

    def _tools(self) -> Tools:
        vault, health = self.vault, TrailHealth(time.monotonic)
        sequencer = Sequencer(self.sequencing, mac=mac_of_those_there(self.keyring), origin_host=vault.settings.host, health=health)
        recorder = _recorder(vault.settings, vault.database, vault.keys, self.keyring, is_open=lambda _: True)
        return Tools(self.sequencing, self.state, self.signer, sequencer, recorder)

    @property
    def key_exports(self) -> KeyExports:
        """Where exports of keys lie. Raises KeysUnavailable where that is in the database's directory."""
        return KeyExports(self.vault.settings.exports_of_keys, forbidden=_forbidden(self.vault.settings))

    def roots(self) -> list[Root]:
        """Return the root key of every epoch, and how far each is from its end."""
        return roots(self.vault, self.keyring)

    def change_epochs(self, *, at_once: bool = False) -> dict[str, EpochStanding]:
        """Bring every controller to the epoch that is due, or to the next one now."""
        return change_epochs(self.vault, self.keyring, at_once=at_once)

    def export_keys(self) -> Exported:
        """Export the keys of every controller, and drop exports that are too old."""
        made = export_keys(self.vault, self.keyring, self.key_exports.write)
        self.key_exports.drop(made.made_at - timedelta(days=self.vault.settings.key_export_days))
        return made

    def destroy_epoch(self, epoch: int) -> Root:
        """Destroy a root key that nothing needs. Raises Conflict where something does."""
        return destroy_epoch(self.vault, self.keyring, epoch)

    def tend_keys(self) -> int:
        """Do what is due of all this, and certify erasures that became final; return how much was done. The worker's, hourly."""
        return tend_keys(self.vault, self.keyring, self.export_keys)

    def add_controller(self, controller_id: str, zone: str = "Europe/Rome", languages: Sequence[str] = ("it", "en")) -> None:
        """Create a controller, sign its empty log, and put the bundle at hand in force for it."""
        vault = self.vault
        add_controller(vault.database, self.keyring, vault.settings.installation, controller_id, zone, languages, vault.now)
        self.signer.found(controller_id)
        found_on_ledger(vault, controller_id)
        self.standing.began(controller_id, begin(vault, controller_id, self.bundle), self.rules)


def _age(measure: Measure | None) -> int | None:
    """Return for how many seconds no witness has signed; None when none ever has."""
    return None if measure is None or measure.witnessed_s is None else int(measure.witnessed_s)


@contextmanager
def open_vault(settings: Settings, *, founding: bool = False) -> Iterator[Opened]:
    """Open the vault these settings describe; its trail runs until the block ends. Raises KeysUnavailable, DatabaseUnavailable.

    Raises NotFound for a home that holds no vault: only who is `founding` one makes server and keyring there.
    """
    if not founding and settings.database_url is None and not (settings.data.exists() or settings.keyring.exists()):
        advice = f"no vault in {settings.home}: `riserbo controllers add` makes one"
        raise NotFound("vault-not-found", faults=[Fault("RISERBO_HOME", advice)])
    with ExitStack() as closing:
        addresses = closing.enter_context(reach_database(settings))
        keyring = open_keyring(settings)
        yield closing.enter_context(assembled(settings, addresses, keyring))


@contextmanager
def assembled(settings: Settings, addresses: Addresses, keyring: FileKeyring) -> Iterator[Opened]:
    """Put a vault together over a database and a keyring that are there, and run its trail until the block ends."""
    with ExitStack() as closing:
        app, sequencing, signing = (closing.enter_context(pools(addresses.url, role)) for role in ROLES)
        keys = controller_keys(settings, app, keyring)
        closing.callback(keys.close)
        bundle = load_bundle(settings.policies)
        state, health = DirectorySignerState(settings.state), TrailHealth(time.monotonic)
        announce, stop_announcing = announcing(settings.checkpoint_webhook)
        closing.callback(stop_announcing)
        signer = Signer(
            signing, state, sign=keyring.sign, public_key=keyring.public_key, origin_host=settings.host, health=health, now=now,
            announce=announce,
        )  # fmt: skip
        sequencer = Sequencer(sequencing, mac=mac_of_those_there(keyring), origin_host=settings.host, health=health)
        recorder, trail = _recording(settings, app, keys, keyring, _Trail(sequencer, signer, state, health))
        closing.callback(trail.stop)
        closing.callback(recorder.close)  # first: its writers' last entries are sequenced while the trail runs
        rules = Rules.of(bundle)
        standing = Standing(app, keys, rules, time.monotonic)
        closing.callback(standing.stop)
        ledger = ledger_of(keyring, settings)
        following = Following(app, ledger)
        closing.callback(following.stop)
        vault = Vault(
            settings=settings,
            database=app,
            keys=keys,
            policy=rules.policy,
            catalogue=rules.catalogue,
            templates=rules.templates,
            wordings=rules.wordings,
            audit=recorder,
            tickets=PushedTickets(),
            controller=cache(lambda controller_id: controller_of(app, controller_id)),
            publisher=lambda controller_id: read_publisher(settings.publishers, controller_id),
            signing=signing_of(keyring, settings),
            ledger=ledger,
            now=now,
            monotonic=time.monotonic,
            new_id=new_id,
            in_force=following.guard(standing.in_force),
            settle=lambda controller_id: trail.settle(controller_id, SETTLES_WITHIN_S),
        )
        trail.start()
        standing.start()  # after the trail has caught up: what came into force last has its position
        opened = Opened(vault, keyring, trail, signer, state, addresses, sequencing, health, bundle, rules, standing, following)
        catch_up(opened.repairing)
        following.start()
        yield opened


@dataclass(frozen=True, slots=True)
class _Trail:
    sequencer: Sequencer
    signer: Signer
    state: DirectorySignerState
    health: TrailHealth


def _recording(
    settings: Settings, app: Database, keys: ControllerKeys, keyring: FileKeyring, parts: _Trail
) -> tuple[Recorder, Trail]:
    """Make the recorder and the trail that looks after what it records; each needs the other, so they meet here."""
    waking: list[Trail] = []
    recorder = _recorder(
        settings, app, keys, keyring, is_open=parts.health.is_open,
        wake=lambda controller_id: waking[0].wake(controller_id),  # noqa: PLW0108 - the trail is made after
    )  # fmt: skip
    watch = Watch(
        app,
        parts.state,
        public_key=keyring.public_key,
        origin_host=settings.host,
        health=parts.health,
        now=now,
        acknowledged=recorder.acknowledged,
        unsafe_server_allowed=settings.allow_unsafe_database,
        witnesses=read_witnesses(settings.witness_keys),
    )
    parts.health.look = watch.look
    trail = Trail(
        app,
        sequencer=parts.sequencer,
        signer=parts.signer,
        watch=watch,
        health=parts.health,
        recorder=recorder,
        new_id=new_id,
        now=now,
        monotonic=time.monotonic,
    )
    waking.append(trail)
    return recorder, trail


def _recorder(
    settings: Settings,
    app: Database,
    keys: ControllerKeys,
    keyring: FileKeyring,
    *,
    is_open: Callable[[str], bool],
    wake: Callable[[str], None] = lambda _controller_id: None,
) -> Recorder:
    return Recorder(
        app,
        mac=mac_of(keyring),
        unwrap_audit_key=lambda *place: data_keys.unwrap_audit_key(keys, *place),
        audit_secret=lambda controller_id: keys.secret(controller_id, "audit"),
        seal=data_keys.seal_bytes,
        draw=draw,
        now=now,
        monotonic=time.monotonic,
        new_id=new_id,
        origin_host=settings.host,
        is_open=is_open,
        wake=wake,
        lanes=settings.lanes,
    )
