"""Log lines hold ids and codes from a list, and nothing somebody added to a call."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from io import BytesIO

from vault.logs import Lines, only_allowed

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
    assert line["timestamp"].endswith("Z")


class Written(BytesIO):
    """A file that keeps what each `write` brought."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, octets: bytes) -> int:  # type: ignore[override]  # bytes is all it is given
        self.writes.append(octets)
        return len(octets)


def test_lines_are_written_at_once() -> None:
    file = Written()
    lines = Lines(lambda: file)
    lines.info(b"one")
    lines.error(b"two")
    assert file.writes == [b"one\n", b"two\n"]


def test_lines_of_an_event_loop_s_turn_are_one_write() -> None:
    file = Written()
    asked: list[Callable[[], None]] = []
    lines = Lines(lambda: file)
    with lines.together(asked.append):
        lines.info(b"one")
        lines.info(b"two")
        assert file.writes == []
        assert asked == [lines.write]
        asked.pop()()
        lines.info(b"three")
        assert file.writes == [b"one\ntwo\n"]
        assert asked == [lines.write]
    assert file.writes == [b"one\ntwo\n", b"three\n"], "what was ready at the end is not lost"
    asked.pop()()
    lines.info(b"four")
    assert file.writes[2:] == [b"four\n"]


def test_another_thread_s_line_does_not_wait_for_the_loop() -> None:
    file = Written()
    lines = Lines(lambda: file)
    with lines.together(lambda _: None):
        lines.info(b"the loop's")
        other = threading.Thread(target=lines.error, args=(b"a lane's",))
        other.start()
        other.join()
        assert file.writes == [b"the loop's\na lane's\n"]


def test_no_line_of_many_threads_is_lost_or_torn() -> None:
    file = Written()
    lines = Lines(lambda: file)

    def many(name: int) -> None:
        for number in range(500):
            lines.info(b"%d-%d" % (name, number))

    threads = [threading.Thread(target=many, args=(name,)) for name in range(4)]
    with lines.together(lambda _: None):
        for thread in threads:
            thread.start()
        many(4)
        for thread in threads:
            thread.join()
    written = b"".join(file.writes).splitlines()
    assert sorted(written) == sorted(b"%d-%d" % (name, number) for name in range(5) for number in range(500))
