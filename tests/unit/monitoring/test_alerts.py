"""Alerts: one open alert per rule and subject, and what each owes to people."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.verdict import Outcome, Verdict
from falaj.kernel.alert_settings import Severity
from falaj.monitoring.alerts import (
    Alert,
    Event,
    follow_verdict,
    list_alerts,
    notices_waiting,
    open_alert,
    report,
    resolve_alert,
)
from falaj.monitoring.incidents import SEVERITIES
from falaj.monitoring.verdicts import verdicts_after
from falaj.storage.metadata.database import Database


@pytest.fixture
def db(each_db: Database) -> Database:
    return each_db


def owed(db: Database) -> list[tuple[Event, str]]:
    with db.read() as connection:
        return [(notice.event, notice.alert.message) for notice, _ in notices_waiting(connection)]


def found(at_us: int = 1, subject: str = "fraud", severity: Severity = "warning") -> Alert:
    return Alert("drift", severity, subject, "amount drifted", {"psi": 0.4}, at_us)


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
    assert not resolve(db)
    raise_once(db, found(1))
    assert resolve(db, 5)
    assert not resolve(db)
    raise_once(db, found(7))
    with db.read() as connection:
        assert [record.resolved_us for record in list_alerts(connection)] == [None, 5]
        assert len(list_alerts(connection, only_open=True)) == 1
    assert owed(db) == [
        ("opened", "amount drifted"),
        ("resolved", "no drift any more"),
        ("opened", "amount drifted"),
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(SEVERITIES), min_size=1, max_size=8))
def test_each_severity_that_is_reached_is_owed_once(severities: list[Severity]) -> None:
    db = Database.memory()
    db.create_all()
    ranks = [SEVERITIES.index(one) for one in severities]
    for at_us, severity in enumerate(severities):
        raise_once(db, found(at_us, severity=severity))
    rises = sum(rank > max(ranks[:at]) for at, rank in enumerate(ranks) if at)
    assert [event for event, _ in owed(db)] == ["opened", *["escalated"] * rises]
    with db.read() as connection:
        (record,) = list_alerts(connection)
    assert record.alert.severity == SEVERITIES[max(ranks)]
    db.close()


def test_the_same_verdict_that_matters_more_is_kept_again(db: Database) -> None:
    verdict = Verdict("endpoint_load", "fraud", "FAIL", "no gateway can load it", {}, 1)
    assert report(db, verdict)
    assert report(db, msgspec.structs.replace(verdict, at_us=2), "critical")
    assert not report(db, msgspec.structs.replace(verdict, at_us=3), "critical")
    assert not report(db, msgspec.structs.replace(verdict, at_us=4), "warning")
    assert [event for event, _ in owed(db)] == ["opened", "escalated"]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE"]), max_size=12))
def test_notices_follow_verdicts_by_turns(outcomes: list[Outcome]) -> None:
    db = Database.memory()
    db.create_all()
    expected: list[Event] = []
    is_open = False
    for at_us, outcome in enumerate(outcomes):
        with db.write() as connection:
            follow_verdict(connection, Verdict("drift", "fraud", outcome, "why", {"n": at_us}, at_us))
        if outcome != "INCONCLUSIVE" and is_open != (outcome == "FAIL"):
            is_open = not is_open
            expected.append("opened" if is_open else "resolved")
    with db.read() as connection:
        assert len(list_alerts(connection, only_open=True)) == is_open
    assert [event for event, _ in owed(db)] == expected
    db.close()


def test_the_same_verdict_again_is_kept_once(db: Database) -> None:
    verdict = Verdict("performance", "fraud", "FAIL", "auc is worse than its bound", {"auc": 0.8}, 1)
    assert report(db, verdict)
    assert not report(db, msgspec.structs.replace(verdict, at_us=2))
    assert report(db, msgspec.structs.replace(verdict, outcome="PASS", at_us=3))
    assert report(db, msgspec.structs.replace(verdict, at_us=4))
    with db.read() as connection:
        assert [kept.verdict.at_us for kept in verdicts_after(connection, 0)] == [1, 3, 4]
        assert len(list_alerts(connection)) == 2


def test_what_a_person_closed_opens_again_when_the_same_is_found(db: Database) -> None:
    verdict = Verdict("online_store", "online store", "FAIL", "it does not answer", {}, 1)
    assert report(db, verdict)
    with db.write() as connection:
        assert resolve_alert(connection, "online_store", "online store", "closed by ada", 2)
    assert report(db, msgspec.structs.replace(verdict, at_us=3))
    assert not report(db, msgspec.structs.replace(verdict, at_us=4))
    with db.read() as connection:
        assert [one.resolved_us for one in list_alerts(connection)] == [None, 2]
