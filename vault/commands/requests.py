"""The command that says which requests of people are open, and until when. Moving them is their officers', over the API."""

from vault.commands.say import AsJson, ControllerOption, answer, people, said, the_controller
from vault.opening import open_vault
from vault.operations.show_requests import requests_for_operator
from vault.settings import read_settings


def requests(controller: ControllerOption = None, as_json: AsJson = False) -> None:
    """List the open requests of people, the next due first: kinds, states and dates, nobody's id and no words.

    `overdue` ones break a promise the law makes (GDPR 12(3)): whoever answers for data protection should hear of them today.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        found = requests_for_operator(opened.vault.governed(name), name)
    for one in found:
        until = one["due"] or f"{one['base_due']}, waiting for {one['waiting']}"
        people.print(f"{one['request_id']}  {one['kind']:<20} {one['state']:<10} {until}{'  OVERDUE' if one['overdue'] else ''}")
    late = sum(one["overdue"] for one in found)
    answer({"requests": found, "overdue": late}, as_json=as_json, text=f"{len(found)} open, {late} overdue")
