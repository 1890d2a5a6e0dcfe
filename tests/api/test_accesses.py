"""Who looked at one's data, over HTTP: the person's own, an officer's on their behalf, in pages and as a download."""

import io
import zipfile

import pytest

from tests.api.desk import Desk

BUNDLE = {"README.txt", "offline.py", "accesses/accesses.json", "accesses/evidence.json", "accesses/checkpoint", "accesses/signed"}


def test_the_person_lists_who_looked_and_the_request_itself_comes_first(desk: Desk, customer: str) -> None:
    desk.profile("t1", customer)
    answer = desk.call("GET", "/v1/me/accesses?limit=2", "customer", subject_id=customer)
    assert answer.status_code == 200, answer.text
    own, looked = answer.json()["accesses"]
    assert (own["entry_id"], own["operation"], own["agent"]) == (answer.headers["Vault-Entry"], "show_accesses", "you")
    assert (looked["operation"], looked["role"], looked["ticket"]) == ("disclose", ["t1"], "TCK-1")
    assert answer.headers["Cache-Control"] == "no-store"
    following = desk.call("GET", f"/v1/me/accesses?cursor={answer.json()['next']}", "customer", subject_id=customer).json()
    assert own["entry_id"] not in [one["entry_id"] for one in following["accesses"]]


@pytest.mark.parametrize(("path", "role"), [("/v1/me", "customer"), ("/v1/subjects/{}", "dpo")])
def test_the_whole_list_is_a_file_nobody_caches(desk: Desk, customer: str, path: str, role: str) -> None:
    place = f"{path.format(customer)}/accesses/bundle"
    answer = desk.call("GET", place, role, subject_id=customer)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip"), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="accesses.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        names = set(packed.namelist())
    assert names > BUNDLE
    assert f"accesses/proofs/{answer.headers['Vault-Entry']}.tlog-proof" in names


def test_an_officer_sees_the_list_as_the_person_does(desk: Desk, customer: str) -> None:
    answer = desk.call("GET", f"/v1/subjects/{customer}/accesses", "dpo", subject_id=customer)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accesses"][0]["agent"].startswith("operator ")


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=x", f"cursor={'A' * 88}"])
def test_a_query_that_means_nothing_is_400(desk: Desk, customer: str, query: str) -> None:
    answer = desk.call("GET", f"/v1/me/accesses?{query}", "customer", subject_id=customer)
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("path", ["/v1/me/accesses", "/v1/me/accesses/bundle"])
def test_who_is_no_customer_has_no_list_of_their_own(desk: Desk, path: str) -> None:
    assert desk.call("GET", path, "system").status_code == 403
    assert desk.call("GET", path, "dpo").status_code == 404
