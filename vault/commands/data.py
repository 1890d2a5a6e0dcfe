"""Commands about customers' data: import and profile. No value is ever printed but what a token's holder may see."""

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from vault.commands.say import AsJson, ControllerOption, answer, counting, said, the_controller
from vault.connectors.vault_client import Why, ask_profile
from vault.errors import Fault, InvalidValue
from vault.opening import open_vault
from vault.operations.import_subjects import ImportResult, run_import
from vault.settings import read_settings


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or NDJSON.", exists=True, dir_okay=False, readable=True)],
    mapping: Annotated[Path, typer.Option(help="How columns become fields (YAML).", exists=True, dir_okay=False)],
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Import customers and what they agreed to. Repeat it at will: a line that is there already changes nothing.

    Refused lines go to a report (line, column, code; never the value). Interrupted, run it again: it goes on where it was.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened, counting() as bar:
        task = bar.add_task("customers", total=None)

        def advance(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        name = the_controller(opened.vault.database.controllers(), controller)
        result = run_import(opened.vault.governed(name), name, file, mapping, advance)
    document = import_document(result)
    answer(document, as_json=as_json, text=_import_text(document))


def import_document(result: ImportResult) -> dict[str, Any]:
    """Return what `riserbo import --json` ends with."""
    return {
        "accepted": result.accepted,
        "unchanged": result.unchanged,
        "refused": result.refused,
        "refused_by_code": dict(sorted(result.refused_by_code.items())),
        "report": str(result.report),
    }


def profile(
    subject_id: Annotated[str, typer.Argument(help="sub_…")],
    purpose: Annotated[str, typer.Option(help="Why: an id of the policy's list, such as customer-care.")],
    ticket: Annotated[str | None, typer.Option(help="The case that justifies it.")] = None,
    channel: Annotated[str, typer.Option(help="phone email chat social front_office portal api")] = "phone",
    fields: Annotated[str | None, typer.Option(help="Names with commas; unset: the role's default set.")] = None,
    token_file: Annotated[Path, typer.Option(help="File with the access token; - reads stdin.")] = Path("-"),
    url: Annotated[str, typer.Option(help="Where the vault serves.")] = "http://127.0.0.1:8000",
    as_json: AsJson = False,
) -> None:
    """Read one masked profile over HTTP, with a token, like any helpdesk. Recorded like any other reading."""
    with said(as_json=as_json):
        token = _token(token_file)
        reply = ask_profile(url, token, subject_id, fields, Why(purpose, ticket, channel))
        typer.echo(orjson.dumps(reply.body, option=0 if as_json else orjson.OPT_INDENT_2).decode())
    if reply.status >= 400:
        raise typer.Exit(1)


def _token(file: Path) -> str:
    """Return the token. Raises InvalidValue where there is none: the command before the pipe said why."""
    text = (sys.stdin.read() if str(file) == "-" else file.read_text()).strip()
    if not text:
        where = "standard input" if str(file) == "-" else "that file"
        raise InvalidValue("token-missing", faults=[Fault("--token-file", f"no token on {where}")])
    return text


def _import_text(document: dict[str, Any]) -> str:
    codes = "\n".join(f"  {code}: {count}" for code, count in document["refused_by_code"].items())
    line = f"{document['accepted']} accepted ({document['unchanged']} unchanged), {document['refused']} refused"
    return f"{line}\n{codes}\nReport of refused lines: {document['report']}"
