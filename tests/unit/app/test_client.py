"""The client: to the running control, to one that is starting, or here."""

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.app.backends import open_rooms
from falaj.app.client import Client
from falaj.app.running import announce, find_control, withdraw
from falaj.app.supervisor import claim
from falaj.app.values.alert import AlertsQuery
from falaj.app.values.status import AlertStatus
from falaj.app.values.token import CreatedToken, CreateToken
from falaj.kernel.errors import AccessDenied, Locked, Unauthenticated
from falaj.kernel.settings import Settings
from falaj.lifecycle.rooms import TOKENS_TOPIC
from falaj.storage.folder import StateFolder
from falaj.storage.keyvalue.snapshots import read_epoch
from falaj.storage.metadata import outbox

ALERT = AlertStatus("7", "info", "drift of fraud", "", 0, open=True)


class Control(http.server.BaseHTTPRequestHandler):
    """Answers every operation with one alert."""

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'[{"id":"7","severity":"info","subject":"drift of fraud","message":"",'
                         b'"opened_us":0,"open":true}]')  # fmt: skip

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Of an empty project."""
    (tmp_path / "falaj.toml").write_text('[project]\nname = "test"\n')
    found = Client(tmp_path)
    StateFolder(found.state).create()
    (found.state / "owner.token").write_text("flj_of_a_control_that_this_test_plays\n")
    return found


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a control."""
    with http.server.HTTPServer(("127.0.0.1", 0), Control) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def ask(client: Client) -> list[AlertStatus]:
    return client.perform("alert.list", AlertsQuery(), list[AlertStatus])


def test_without_a_control_it_is_done_here(client: Client) -> None:
    assert ask(client) == []


def test_a_running_control_is_asked(client: Client, url: str) -> None:
    announce(client.state, url)
    assert ask(client) == [ALERT]
    withdraw(client.state)
    assert ask(client) == []


@pytest.mark.parametrize("left", [b"", b"{", b'{"pid":1,"url":"x","started":"long ago"}'])
def test_what_a_dead_control_left_is_not_asked(client: Client, left: bytes) -> None:
    (client.state / "run" / "control.json").write_bytes(left)
    assert find_control(client.state) is None
    assert ask(client) == []


def test_a_control_that_is_starting_is_waited_for(client: Client, url: str) -> None:
    claim(client.state)  # this process supervises it
    with StateFolder(client.state).lock():
        starting = threading.Timer(0.3, announce, (client.state, url))
        starting.start()
        assert ask(client) == [ALERT]
        starting.join()


def test_another_command_is_not_waited_for(client: Client) -> None:
    began = time.monotonic()
    with StateFolder(client.state).lock(), pytest.raises(Locked):
        ask(client)
    assert time.monotonic() - began < 5


def test_a_token_acts_for_its_own_actor(client: Client) -> None:
    made = client.perform("token.create", CreateToken("vic", "viewer"), CreatedToken)
    viewer = Client(client.folder, made.token)
    assert ask(viewer) == []
    with pytest.raises(AccessDenied):
        viewer.perform("token.create", CreateToken("eve", "owner"), CreatedToken)
    with pytest.raises(Unauthenticated):
        ask(Client(client.folder, "nobody's"))


def test_what_a_killed_command_did_not_publish_is_published_by_the_next(client: Client) -> None:
    ask(client)
    with open_rooms(client.folder, Settings()) as rooms, rooms.db.write() as connection:
        seq = outbox.announce(connection, TOKENS_TOPIC, 0)  # as a revocation commits it, killed before it publishes
    ask(client)
    with open_rooms(client.folder, Settings()) as rooms:
        assert read_epoch(rooms.online) == seq


def test_a_project_whose_database_was_lost_has_an_owner_again(client: Client) -> None:
    for _ in range(2):
        assert ask(client) == []
        for file in (client.folder / ".falaj").glob("falaj.db*"):
            file.unlink()


def test_without_any_token_a_running_control_is_not_asked(client: Client, url: str) -> None:
    (client.state / "owner.token").unlink()
    announce(client.state, url)
    with pytest.raises(Unauthenticated, match=r"owner\.token, is not there") as refused:
        ask(client)
    assert "--token" in refused.value.hint
