"""What `falaj up --detach` says when what it started does not come up."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from falaj.cli.started import Started, why_not
from falaj.kernel.errors import ExtraMissing, Unavailable
from falaj.serving.readiness import UNLOADED

NOBODY = "http://127.0.0.1:1/"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The supervisor's log."""
    (tmp_path / "log").mkdir()
    return tmp_path / "log" / "supervisor.log"


@contextmanager
def sleeper() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_reason_of_what_ended_is_raised_again(tmp_path: Path, log: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    log.write_text("error [extra_missing] gRPC is not installed\n  fix  pip install it\n")
    with pytest.raises(ExtraMissing, match="gRPC is not installed") as raised:
        Started(tmp_path, process, {"control": NOBODY}).wait()
    assert raised.value.hint == "pip install it"
    for said, told in (("Traceback\nKeyError: 'a'\n", "KeyError: 'a'"), ("", "without a word")):
        log.write_text(said)
        with pytest.raises(Unavailable, match=told):
            Started(tmp_path, process, {"control": NOBODY}).wait()


def test_what_is_late_is_left_to_go_on_and_what_fails_is_stopped(tmp_path: Path, log: Path) -> None:
    (tmp_path / "run").mkdir()
    with sleeper() as process, answering(503, b'{"error": "nothing was published"}') as url:
        started = Started(tmp_path, process, {"control": NOBODY, "gateway": url})
        with pytest.raises(Unavailable, match="gateway: nothing was published") as raised:
            started.wait(0.0)
        assert "goes on starting" in raised.value.hint
        log.write_text("control ended with exit code 1; back in 5 s (see control.log)\n")
        with pytest.raises(Unavailable, match="exit code 1; back in 5 s") as raised:
            started.wait(0.0)
        assert raised.value.hint == "it was stopped again"


def test_endpoints_that_cannot_be_loaded_are_named(tmp_path: Path, log: Path) -> None:
    assert log.parent.is_dir()
    body = json.dumps({"error": f"{UNLOADED} fraud"}).encode()
    with sleeper() as process, answering(200, b"") as up, answering(503, body) as url:
        with pytest.raises(Unavailable, match="cannot be loaded: fraud") as raised:
            Started(tmp_path, process, {"control": up, "gateway": url}).wait(unloaded_s=0.0)
        assert "falaj status" in raised.value.hint
        Started(tmp_path, process, {"control": up}).wait()


@pytest.mark.parametrize(
    ("body", "why"), [(b"no JSON", "answers 503"), (b"[]", "answers 503"), (b'{"error": "x"}', "x")]
)
def test_an_answer_says_why(body: bytes, why: str) -> None:
    with answering(503, body) as url:
        assert why_not(url) == why
    assert why_not(NOBODY) == ""
