"""What is marked of what was asked for: who asked, for whom, for which passphrase; not what came of it. Pure."""

from vault.exports.asked import MEMBERS, said


def test_what_came_of_it_is_not_what_was_asked() -> None:
    row = {**dict.fromkeys(MEMBERS, "x"), "state": "ready", "wrap": b"w"}
    assert said(row) == dict.fromkeys(MEMBERS, "x")
    assert {"asker", "salt", "public", "subject_id"} < set(MEMBERS)
