"""A receiver of alerts: a real HTTP server that can be away, refuse, or hang."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """Receives POSTs on one address, over several lives.

    Args:
        port: Where it listens when it does.

    Attributes:
        received: Every body that came, whatever was answered.
        accepted: Those that were answered with 200.
        headers: The headers of every request, names in lower case.
        answers: Statuses to answer with, the next first; 200 once there are none.
        silent: While it is set, a request is read and not answered.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[dict[str, Any]] = []
        self.accepted: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.silent = threading.Event()
        self.released = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        webhook = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                webhook.headers.append({name.lower(): value for name, value in self.headers.items()})
                webhook.received.append({**body, "path": self.path, "type": self.headers["content-type"]})
                if webhook.silent.is_set():
                    webhook.released.wait()
                    return
                status = webhook.answers.pop(0) if webhook.answers else 200
                if status == 200:
                    webhook.accepted.append(body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Receiver)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Be away: nothing listens on the address."""
        self.released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
