"""A helpdesk that is asked for its tickets: a small server on loopback, and what asks it. Another helpdesk is another `ask`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx2

from vault.tickets import Question, Said, Unanswered

MAX_BYTES = 4_096


@dataclass
class Helpdesk:
    """Tickets by id, as its agents see them; `down` makes it fail, `asked` lists what it was asked."""

    url: str = ""
    tickets: dict[str, dict[str, Any]] = field(default_factory=dict)
    down: bool = False
    odd: bytes | None = None
    asked: list[str] = field(default_factory=list)


class AskingHelpdesk:
    """Asks for one ticket: `GET /tickets/<id>`, half a second at most, no redirects, a few members and nothing else."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=url, follow_redirects=False, trust_env=False, timeout=0.5)

    def __call__(self, asked: Question) -> Said | None:
        try:
            answer = self._client.get(f"/tickets/{asked.ticket_id}")
            if answer.status_code == 404:
                return None
            if answer.status_code != 200 or len(answer.content) > MAX_BYTES:
                raise Unanswered("status")
            said = json.loads(answer.content)
            at = datetime.fromtimestamp(said["at"], UTC)
            return Said(str(said["subject_id"]), str(said["state"]), said.get("assignee"), said.get("team"), at)
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            raise Unanswered("helpdesk") from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@contextmanager
def running_helpdesk() -> Iterator[tuple[Helpdesk, AskingHelpdesk]]:
    """Serve a helpdesk on loopback until the block ends."""
    desk = Helpdesk()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ticket_id = self.path.rpartition("/")[2]
            desk.asked.append(ticket_id)
            body = desk.odd or json.dumps(desk.tickets.get(ticket_id)).encode()
            self.send_response(503 if desk.down else 200 if ticket_id in desk.tickets else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    desk.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    asking = AskingHelpdesk(desk.url)
    try:
        yield desk, asking
    finally:
        asking.close()
        server.shutdown()
        thread.join()
        server.server_close()
