"""Commands that check an installation and change nothing: doctor, config check."""

from typing import Any

import typer

from vault.commands.say import AsJson, answer, people, said
from vault.connectors.policy_keys import read_approvers
from vault.connectors.publishers import read_publisher
from vault.errors import Conflict, InvalidValue
from vault.opening import Opened, open_vault
from vault.operations.examine import Check, examine
from vault.settings import Settings, read_settings, variable

# Settings that are derived where they are unset: what is shown is what is in effect.
EFFECTIVE = {
    "keyring_credential": "credential", "audit_state": "state", "policy_keys": "approvers", "witnesses": "witness_keys",
}  # fmt: skip
SECRET = ("database_url", "database_admin_url")


def config_check(as_json: AsJson = False) -> None:
    """Read the settings and show what is in effect; what is missing to serve, or wrong, is named. Secrets are not shown."""
    with said(as_json=as_json):
        settings = read_settings()
        shown = {variable(name): _shown(settings, name) for name in type(settings).model_fields}
        lines = [f"{name} = {'(unset)' if value is None else value}" for name, value in shown.items()]
        lines += [f"missing: {name}, needed to serve" for name in settings.missing]
        answer({**shown, "missing": list(settings.missing)}, as_json=as_json, text="\n".join(lines))


def doctor(as_json: AsJson = False) -> None:
    """Check settings, keys, database, rights, server settings and audit trail, one line each. Exit status 1 if one fails.

    `todo` is what this vault still lacks before it can serve, give receipts or change its policy: no failure.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        checks, todo = examine(opened.vault, opened.health), lacking(opened)
        document: dict[str, Any] = {
            "ok": all(one.ok for one in checks),
            "checks": [{"name": c.name, "ok": c.ok, "note": c.note, "age_s": c.age_s, "do": c.do} for c in checks],
            "todo": [{"name": c.name, "note": c.note} for c in todo],
        }
        lines = [_line(check) for check in checks] + [f"todo  {one.name}  {one.note}" for one in todo]
        answer(document, as_json=as_json, text="\n".join(lines))
    if not document["ok"]:
        people.print("Something needs attention.")
        raise typer.Exit(1)


def lacking(opened: Opened) -> list[Check]:
    """Return what is still to be done: settings to serve, a controller, the keys of who decides policy, who each company is."""
    settings, controllers = opened.vault.settings, opened.vault.database.controllers()
    found = [Check(name, False, "unset: needed by `riserbo serve`") for name in settings.missing]
    if not controllers:
        found.append(Check("controllers", False, "none: run `riserbo controllers add`"))
    try:
        read_approvers(settings.approvers)
    except InvalidValue as error:
        found += [
            Check("policy keys", False, f"{one.code} ({settings.approvers}): no bundle can be activated") for one in error.faults
        ]
    for controller_id in controllers:
        try:
            read_publisher(settings.publishers, controller_id)
        except Conflict as error:
            where = settings.publishers / f"{controller_id}.json"
            found.append(Check(f"receipts of {controller_id}", False, f"{error.code} ({where})"))
    return found


def _line(check: Check) -> str:
    age = "" if check.age_s is None else f"{check.age_s} s ago"
    do = "" if check.do is None else f"run `{check.do}`"
    told = "  ".join(filter(None, (check.name, check.note, age, do)))
    return f"{'ok  ' if check.ok else 'FAIL'}  {told}"


def _shown(settings: Settings, name: str) -> Any:
    value = getattr(settings, EFFECTIVE.get(name, name))
    if value is None:
        return None
    if name in SECRET:
        return "(set)"
    return value if isinstance(value, int | float | bool) else str(value)
