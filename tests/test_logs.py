"""Log lines hold ids and codes from a list, and nothing somebody added to a call."""

import json
import subprocess
import sys

from vault.logs import only_allowed

LOGGING = """
import structlog
from vault.logs import configure_logs
configure_logs()
structlog.get_logger().error("unreadable", entry_id="ent_1", value="giulia@example.it", error=ValueError("giulia@example.it"))
"""


def test_a_key_that_is_not_on_the_list_is_dropped_and_counted() -> None:
    assert only_allowed(None, "info", {"event": "x", "value": "secret", "code": "c"}) == {"event": "x", "code": "c", "dropped": 1}
    assert only_allowed(None, "info", {"event": "x"}) == {"event": "x"}


def test_a_line_is_json_without_the_value() -> None:
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True)
    line = json.loads(done.stderr)
    assert (line["event"], line["entry_id"], line["dropped"]) == ("unreadable", "ent_1", 2)
    assert "giulia" not in done.stderr
