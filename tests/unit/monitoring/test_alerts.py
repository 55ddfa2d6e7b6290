"""Alerts: one open alert per rule and subject, told once, resolved once, and delivered until they arrive."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.verdict import Outcome, Verdict
from falaj.monitoring.alerts import Alert, Notice, follow_verdict, list_alerts, open_alert, report, resolve_alert
from falaj.monitoring.notify import LAST_RETRY_US, RouteState, Send, deliver, route_state, to_file, to_webhook
from falaj.monitoring.verdicts import verdicts_after
from falaj.storage.metadata.database import Database


@pytest.fixture
def db(each_db: Database) -> Database:
    return each_db


class Receiver:
    """A real web server that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 200:
                    receiver.got.append(json.loads(body))
                self.send_response(receiver.status)
                if receiver.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                del args

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/secret"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


class Inbox:
    """A route that keeps what it is given, or fails as it is told."""

    def __init__(self) -> None:
        self.error = ""
        self.notices: list[Notice] = []
        self.attempts = 0

    def __call__(self, notice: Notice) -> str:
        self.attempts += 1
        if not self.error:
            self.notices.append(notice)
        return self.error


def found(at_us: int = 1, subject: str = "fraud") -> Alert:
    return Alert("drift", "warning", subject, "amount drifted", {"psi": 0.4}, at_us)


def raise_once(db: Database, alert: Alert) -> bool:
    with db.write() as connection:
        return open_alert(connection, alert)


def resolve(db: Database, at_us: int = 9) -> bool:
    with db.write() as connection:
        return resolve_alert(connection, "drift", "fraud", "no drift any more", at_us)


def test_found_again_is_the_same_alert(db: Database) -> None:
    assert raise_once(db, found(1))
    assert not raise_once(db, found(2))
    assert raise_once(db, found(2, subject="churn"))
    with db.read() as connection:
        churn, fraud = list_alerts(connection)
    assert (fraud.occurrences, fraud.opened_us, fraud.alert.at_us, fraud.resolved_us) == (2, 1, 2, None)
    assert churn.alert.subject == "churn"


def test_over_and_found_again_is_a_new_alert(db: Database) -> None:
    inbox = Inbox()
    assert not resolve(db)
    raise_once(db, found(1))
    assert resolve(db, 5)
    assert not resolve(db)
    raise_once(db, found(7))
    with db.read() as connection:
        assert [record.resolved_us for record in list_alerts(connection)] == [None, 5]
        assert len(list_alerts(connection, only_open=True)) == 1
    assert deliver(db, {"inbox": inbox}, 10) == 3
    assert [(n.event, n.alert.message) for n in inbox.notices] == [
        ("opened", "amount drifted"),
        ("resolved", "no drift any more"),
        ("opened", "amount drifted"),
    ]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE"]), max_size=12))
def test_notices_follow_verdicts_by_turns(outcomes: list[Outcome]) -> None:
    db, inbox = Database.memory(), Inbox()
    db.create_all()
    expected, is_open = [], False
    for at_us, outcome in enumerate(outcomes):
        with db.write() as connection:
            follow_verdict(connection, Verdict("drift", "fraud", outcome, "why", {"n": at_us}, at_us))
        if outcome != "INCONCLUSIVE" and is_open != (outcome == "FAIL"):
            is_open = not is_open
            expected.append("opened" if is_open else "resolved")
        deliver(db, {"inbox": inbox}, at_us)
    with db.read() as connection:
        assert len(list_alerts(connection, only_open=True)) == is_open
    db.close()
    assert [notice.event for notice in inbox.notices] == expected


def test_the_same_verdict_again_is_kept_once(db: Database) -> None:
    verdict = Verdict("performance", "fraud", "FAIL", "auc is worse than its bound", {"auc": 0.8}, 1)
    assert report(db, verdict)
    assert not report(db, msgspec.structs.replace(verdict, at_us=2))
    assert report(db, msgspec.structs.replace(verdict, outcome="PASS", at_us=3))
    assert report(db, msgspec.structs.replace(verdict, at_us=4))
    with db.read() as connection:
        assert [kept.verdict.at_us for kept in verdicts_after(connection, 0)] == [1, 3, 4]
        assert len(list_alerts(connection)) == 2


def test_a_route_that_is_away_waits_longer_each_time_and_loses_nothing(db: Database) -> None:
    away, here = Inbox(), Inbox()
    away.error = "away"
    raise_once(db, found(1))
    raise_once(db, found(1, subject="churn"))
    now_us, waits = 0, []
    for _ in range(15):
        deliver(db, {"away": away, "here": here}, now_us)
        with db.read() as connection:
            state = route_state(connection, "away")
        waits.append(state.not_before_us - now_us)
        assert deliver(db, {"away": away}, state.not_before_us - 1) == 0
        now_us = state.not_before_us
    assert away.attempts == 15  # one per pass, though two notices wait
    assert waits[:3] == [1_000_000, 2_000_000, 4_000_000]
    assert waits[-1] == LAST_RETRY_US
    assert (state.failures, state.error) == (15, "away")
    assert [notice.alert.subject for notice in here.notices] == ["fraud", "churn"]
    away.error = ""
    assert deliver(db, {"away": away}, now_us) == 2
    with db.read() as connection:
        assert route_state(connection, "away") == RouteState(cursor=2)


def test_the_file_gets_a_line_each(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    raise_once(db, found(1_500_000))
    resolve(db)
    deliver(db, {"log": to_file(path)}, 10)
    deliver(db, {"log": to_file(path)}, 11)
    opened, resolved = [json.loads(line) for line in path.read_text().splitlines()]
    assert opened == {
        "id": 1,
        "alert": 1,
        "event": "opened",
        "rule": "drift",
        "severity": "warning",
        "subject": "fraud",
        "message": "amount drifted",
        "at": "1970-01-01T00:00:01.500000Z",
        "evidence": {"psi": 0.4},
    }
    assert resolved["event"] == "resolved"


def test_a_file_that_cannot_be_written_is_said(db: Database, tmp_path: Path) -> None:
    raise_once(db, found())
    deliver(db, {"log": to_file(tmp_path / "absent" / "alerts.jsonl")}, 1)
    with db.read() as connection:
        assert route_state(connection, "log").error.endswith("No such file or directory")


def test_the_webhook_gets_json(db: Database, receiver: Receiver) -> None:
    raise_once(db, found())
    assert deliver(db, {"webhook": to_webhook(receiver.url, 5.0)}, 1) == 1
    assert [(body["rule"], body["subject"], body["evidence"]) for body in receiver.got] == [
        ("drift", "fraud", {"psi": 0.4})
    ]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_answer_but_success_is_tried_again(db: Database, receiver: Receiver, status: int) -> None:
    routes: dict[str, Send] = {"webhook": to_webhook(receiver.url, 5.0)}
    raise_once(db, found())
    receiver.status = status
    assert deliver(db, routes, 0) == 0
    with db.read() as connection:
        error = route_state(connection, "webhook").error
    assert str(status) in error
    assert "secret" not in error
    receiver.status = 200
    assert deliver(db, routes, 1_000_000) == 1
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "file:///etc/passwd", "nonsense", "http://[", "http://a b/", "http://a:x/"]
)
def test_an_address_that_cannot_be_reached_never_raises(db: Database, url: str) -> None:
    raise_once(db, found())
    assert deliver(db, {"webhook": to_webhook(url, 1.0)}, 1) == 0
    with db.read() as connection:
        assert route_state(connection, "webhook").error
