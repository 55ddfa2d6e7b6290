"""Delivery: each route at its own pace, later each time it fails, and nothing lost."""

import json
from pathlib import Path

import pytest

from falaj.kernel.alert_settings import AlertSettings
from falaj.monitoring.alert_message import AlertMessage
from falaj.monitoring.alerts import Alert, open_alert
from falaj.monitoring.delivery import LAST_RETRY_US, RouteState, deliver, route_state, to_file
from falaj.monitoring.triage import triage
from falaj.storage.metadata.database import Database


@pytest.fixture
def db(each_db: Database) -> Database:
    """Two messages that no route has had."""
    for route in ("none", "yet"):
        triage(each_db, AlertSettings(group_s=0), "shop", [route], 0)
    for subject in ("fraud", "churn"):
        with each_db.write() as connection:
            open_alert(connection, Alert("drift", "warning", subject, "amount drifted", {"psi": 0.4}, 1_500_000))
    triage(each_db, AlertSettings(group_s=0), "shop", ["away", "here", "log"], 1_500_000)
    return each_db


class Inbox:
    """A route that keeps what it is given, or fails as it is told."""

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.messages: list[AlertMessage] = []
        self.attempts = 0

    def __call__(self, message: AlertMessage) -> str:
        self.attempts += 1
        if not self.error:
            self.messages.append(message)
        return self.error


def test_a_route_that_is_away_waits_longer_each_time_and_loses_nothing(db: Database) -> None:
    away, here = Inbox("away"), Inbox()
    now_us, waits = 0, []
    for _ in range(15):
        deliver(db, "away", away, now_us)
        deliver(db, "here", here, now_us)
        with db.read() as connection:
            state = route_state(connection, "away")
        waits.append(state.not_before_us - now_us)
        assert deliver(db, "away", away, state.not_before_us - 1) == 0
        now_us = state.not_before_us
    assert away.attempts == 15  # one per pass, though two messages wait
    assert waits[:3] == [1_000_000, 2_000_000, 4_000_000]
    assert waits[-1] == LAST_RETRY_US
    assert (state.failures, state.error) == (15, "away")
    assert [message.cause for message in here.messages] == ["fraud", "churn"]
    away.error = ""
    assert deliver(db, "away", away, now_us) == 2
    with db.read() as connection:
        assert route_state(connection, "away") == RouteState(cursor=2)


def test_what_does_not_concern_a_route_is_passed_over(db: Database) -> None:
    here = Inbox()
    assert deliver(db, "here", here, 0, concerns=lambda message: message.cause == "churn") == 1
    assert [message.cause for message in here.messages] == ["churn"]
    with db.read() as connection:
        assert route_state(connection, "here").cursor == 2


def test_the_file_gets_a_line_each_and_none_twice(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    for now_us in (10, 11):
        deliver(db, "log", to_file(path), now_us)
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert first == {
        "id": 1,
        "key": "falaj/shop/1/1500000",
        "event": "opened",
        "incident": 1,
        "severity": "warning",
        "cause": "fraud",
        "summary": "fraud: drift: amount drifted",
        "actor": "",
        "at": "1970-01-01T00:00:01.500000Z",
        "alerts": [
            {
                "id": 1,
                "rule": "drift",
                "severity": "warning",
                "subject": "fraud",
                "message": "amount drifted",
                "opened": "1970-01-01T00:00:01.500000Z",
                "open": True,
                "evidence": {"psi": 0.4},
                "ending": "",
            }
        ],
        "more": 0,
    }
    assert second["cause"] == "churn"


def test_a_file_that_cannot_be_written_is_said(db: Database, tmp_path: Path) -> None:
    deliver(db, "log", to_file(tmp_path / "absent" / "alerts.jsonl"), 1)
    with db.read() as connection:
        assert route_state(connection, "log").error.endswith("No such file or directory")
