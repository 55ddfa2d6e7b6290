"""Triage: alerts of one cause in one incident and one message; silences hold back, and lose nothing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.kernel.alert_settings import AlertRule, AlertSettings
from falaj.kernel.errors import Conflict, NotFound
from falaj.monitoring.alert_message import AlertMessage, messages_after
from falaj.monitoring.alerts import Alert, open_alert, resolve_alert
from falaj.monitoring.delivery import deliver, route_state
from falaj.monitoring.incidents import acknowledge, get_incident, list_incidents
from falaj.monitoring.silences import begin_silence, end_silence, list_silences
from falaj.monitoring.timeline import timeline
from falaj.monitoring.triage import triage
from falaj.storage.metadata.database import Database

SECOND = 1_000_000
AT_ONCE = AlertSettings(group_s=0)


class Desk:
    """A project's alerts, and whoever looks after them."""

    def __init__(self, db: Database, wanted: AlertSettings = AT_ONCE) -> None:
        self.db = db
        self.wanted = wanted
        self.now_us = 0

    def opens(self, rule: str = "drift", subject: str = "fraud", severity: Any = "warning") -> None:
        with self.db.write() as connection:
            open_alert(connection, Alert(rule, severity, subject, f"{rule} found", {"psi": 0.4}, self.now_us))

    def ends(self, rule: str = "drift", subject: str = "fraud") -> None:
        with self.db.write() as connection:
            resolve_alert(connection, rule, subject, "fine again", self.now_us)

    def silence(self, seconds: int, rule: str = "*", subject: str = "fraud") -> int:
        with self.db.write() as connection:
            return begin_silence(
                connection, rule=rule, subject=subject, comment="a sale", actor="ada", now_us=self.now_us,
                ends_us=self.now_us + seconds * SECOND,
            ).id  # fmt: skip

    def after(self, seconds: int = 0) -> None:
        self.now_us += seconds * SECOND
        triage(self.db, self.wanted, "shop", ["log"], self.now_us)

    def told(self) -> list[AlertMessage]:
        with self.db.read() as connection:
            return messages_after(connection, 0)

    def said(self) -> list[tuple[str, str]]:
        return [(one.event, one.summary) for one in self.told()]


@pytest.fixture
def desk(each_db: Database) -> Desk:
    return Desk(each_db)


def test_what_comes_together_is_told_in_one_message(each_db: Database) -> None:
    desk = Desk(each_db, AlertSettings(group_s=5.0))
    desk.opens("drift")
    desk.after(3)
    desk.opens("performance", severity="critical")
    desk.opens("drift", "churn")
    desk.after(1)
    assert desk.told() == []
    desk.after(1)  # five seconds after the first of them
    (first,) = desk.told()
    assert (first.event, first.severity, first.summary) == ("opened", "critical", "fraud: drift, performance")
    assert [(one.rule, one.open) for one in first.alerts] == [("drift", True), ("performance", True)]
    assert first.key == "falaj/shop/1/0"
    desk.ends("drift")
    desk.after(5)
    desk.ends("performance")
    desk.after(5)
    assert desk.said() == [
        ("opened", "fraud: drift, performance"),
        ("opened", "churn: drift: drift found"),
        ("changed", "fraud: performance: performance found"),
        ("resolved", "fraud: drift, performance: over"),
    ]
    assert len({one.key for one in desk.told() if one.cause == "fraud"}) == 1


@pytest.mark.parametrize(("by", "incidents"), [("subject", 3), ("rule", 2), ("project", 1)])
def test_what_belongs_together_is_a_setting(each_db: Database, by: Any, incidents: int) -> None:
    desk = Desk(each_db, AlertSettings(group_s=0, group_by=by))
    for rule, subject in (("drift", "fraud"), ("drift", "churn"), ("drift", "prices"), ("performance", "fraud")):
        desk.opens(rule, subject)
    desk.after()
    assert len(desk.told()) == incidents


def test_the_first_rule_that_covers_an_alert_says_how_severe_it_is(each_db: Database) -> None:
    rules = (AlertRule("critical", rule="drift", subject="fraud"), AlertRule("info", rule="drift"))
    desk = Desk(each_db, AlertSettings(group_s=0, rules=rules))
    desk.opens("drift", "fraud")
    desk.opens("drift", "churn")
    desk.opens("performance", "prices")
    desk.after()
    assert [(one.cause, one.severity) for one in desk.told()] == [
        ("fraud", "critical"),
        ("churn", "info"),
        ("prices", "warning"),
    ]


def test_an_incident_is_over_with_its_last_alert_and_the_next_alert_opens_another(desk: Desk) -> None:
    desk.opens()
    desk.after(1)
    desk.ends()
    desk.after(1)
    desk.opens()
    desk.after(1)
    with desk.db.read() as connection:
        found = list_incidents(connection)
    assert [(one.id, one.state, one.resolved_by) for one in found] == [(2, "open", ""), (1, "resolved", "system")]
    assert len({one.key for one in desk.told()}) == 2


def test_what_opened_and_ended_between_two_passes_is_told_once(desk: Desk) -> None:
    desk.opens()
    desk.ends()
    desk.after()
    assert [event for event, _ in desk.said()] == ["resolved"]


def test_a_silence_holds_back_until_it_ends(desk: Desk) -> None:
    desk.silence(60)
    desk.opens()
    desk.opens("drift", "churn")
    desk.after(59)
    assert [one.cause for one in desk.told()] == ["churn"]
    desk.after(1)
    assert [one.cause for one in desk.told()] == ["churn", "fraud"]


def test_what_began_and_ended_in_silence_is_never_told_and_stays_on_record(desk: Desk) -> None:
    desk.silence(60)
    desk.opens()
    desk.after(1)
    desk.ends()
    desk.after(100)
    assert desk.told() == []
    with desk.db.read() as connection:
        assert [one.state for one in list_incidents(connection)] == ["resolved"]


def test_a_pager_that_rang_stops_in_silence_too(desk: Desk) -> None:
    desk.opens()
    desk.after(1)
    desk.silence(60)
    desk.ends()
    desk.after(1)
    assert [event for event, _ in desk.said()] == ["opened", "resolved"]


def test_who_was_told_of_one_alert_is_told_the_end_though_the_other_ended_in_silence(desk: Desk) -> None:
    desk.silence(60, rule="performance")
    desk.opens("drift")
    desk.opens("performance")
    desk.after(1)
    desk.ends("drift")
    desk.after(1)
    desk.ends("performance")
    desk.after(1)
    assert [event for event, _ in desk.said()] == ["opened", "changed", "resolved"]
    assert {alert.rule for one in desk.told() for alert in one.alerts} == {"drift"}


def test_a_message_says_nothing_of_the_alerts_that_are_silenced(desk: Desk) -> None:
    desk.silence(60, rule="drift")
    desk.opens("drift")
    desk.opens("performance")
    desk.after()
    assert [alert.rule for alert in desk.told()[0].alerts] == ["performance"]


def test_a_silence_is_ended_once(desk: Desk) -> None:
    number = desk.silence(60)
    desk.opens()
    desk.after(1)
    with desk.db.write() as connection:
        assert end_silence(connection, number, desk.now_us).ends_us == desk.now_us
    with pytest.raises(Conflict, match="over already"), desk.db.write() as connection:
        end_silence(connection, number, desk.now_us)
    with pytest.raises(NotFound), desk.db.write() as connection:
        end_silence(connection, 99, desk.now_us)
    desk.after(1)
    assert [event for event, _ in desk.said()] == ["opened"]
    with desk.db.read() as connection:
        assert list_silences(connection, after_us=desk.now_us) == []
        assert [one.comment for one in list_silences(connection)] == ["a sale"]


def test_an_incident_is_acknowledged_by_one(desk: Desk) -> None:
    desk.opens()
    desk.after(1)
    with desk.db.write() as connection:
        acknowledge(connection, 1, "ada", "I look", desk.now_us)
    with pytest.raises(Conflict, match="acknowledged by ada"), desk.db.write() as connection:
        acknowledge(connection, 1, "eve", "me too", desk.now_us)
    with desk.db.read() as connection:
        assert (get_incident(connection, 1).state, get_incident(connection, 1).acknowledged_by) == (
            "acknowledged",
            "ada",
        )


def test_a_new_route_is_told_what_comes_and_nothing_of_the_past(desk: Desk) -> None:
    desk.opens()
    desk.after(1)
    triage(desk.db, AT_ONCE, "shop", ["log", "oncall"], desk.now_us)
    with desk.db.read() as connection:
        assert (route_state(connection, "oncall").cursor, route_state(connection, "log").cursor) == (1, 0)
    desk.opens("drift", "churn")
    triage(desk.db, AT_ONCE, "shop", ["log", "oncall"], desk.now_us)
    arrived: list[int] = []
    for route in ("log", "oncall"):
        deliver(desk.db, route, lambda message: arrived.append(message.id) or "", desk.now_us)  # type: ignore[func-returns-value]
    assert arrived == [1, 2, 2]
    triage(desk.db, AT_ONCE, "shop", ["log"], desk.now_us)  # the route is gone, and comes again
    triage(desk.db, AT_ONCE, "shop", ["log", "oncall"], desk.now_us)
    with desk.db.read() as connection:
        assert route_state(connection, "oncall").cursor == 2


def test_what_becomes_more_severe_is_told_once(desk: Desk) -> None:
    desk.opens()
    desk.after(1)
    for severity in ("critical", "warning", "critical"):
        desk.opens(severity=severity)
        desk.after(1)
    desk.ends()
    desk.after(1)
    assert [(one.event, one.severity, one.summary) for one in desk.told()] == [
        ("opened", "warning", "fraud: drift: drift found"),
        ("escalated", "critical", "fraud: drift (now critical): drift found"),
        ("resolved", "critical", "fraud: drift: fine again"),
    ]
    with desk.db.read() as connection:
        incident = get_incident(connection, 1)
        lines = [(one.kind, one.text) for one in timeline(connection, incident, (), (), desk.now_us)]
    assert [line for line in lines if "critical" in line[1] or "escalated" in line[1]] == [
        ("alert", "drift of fraud became critical: drift found"),
        ("message", "message 2 to people: escalated"),
    ]


def test_what_grows_before_anybody_was_told_is_told_as_one(each_db: Database) -> None:
    desk = Desk(each_db, AlertSettings(group_s=5.0))
    desk.opens()
    desk.opens(severity="critical")
    desk.after(5)
    assert [(one.event, one.severity) for one in desk.told()] == [("opened", "critical")]
    desk.after(5)
    assert len(desk.told()) == 1


def test_an_alert_with_a_rule_keeps_the_severity_of_the_rule(each_db: Database) -> None:
    desk = Desk(each_db, AlertSettings(group_s=0, rules=(AlertRule("info", rule="drift"),)))
    desk.opens()
    desk.after(1)
    desk.opens(severity="critical")
    desk.after(1)
    assert [(one.event, one.severity) for one in desk.told()] == [("opened", "info")]
    assert not triage(desk.db, desk.wanted, "shop", ["log"], desk.now_us)


def test_growth_in_a_silence_is_told_when_the_silence_ends(desk: Desk) -> None:
    desk.opens()
    desk.after(1)
    desk.silence(60)
    desk.opens(severity="critical")
    desk.after(30)
    assert [event for event, _ in desk.said()] == ["opened"]
    desk.after(31)
    assert [(one.event, one.severity) for one in desk.told()] == [("opened", "warning"), ("escalated", "critical")]


def test_growth_that_was_over_within_a_silence_is_not_told_and_the_end_is(desk: Desk) -> None:
    desk.opens("drift")
    desk.opens("performance")
    desk.after(1)
    desk.silence(60, rule="drift")
    desk.opens("drift", severity="critical")
    desk.after(1)
    desk.ends("drift")
    desk.after(1)
    assert [event for event, _ in desk.said()] == ["opened", "changed"]
    desk.ends("performance")
    desk.after(1)
    assert [event for event, _ in desk.said()] == ["opened", "changed", "resolved"]
    assert not triage(desk.db, desk.wanted, "shop", ["log"], desk.now_us)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["opens", "grows", "ends", "silence", "after"]), st.sampled_from(["drift", "performance"]),
        st.integers(0, 20),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_whatever_happens_who_was_told_of_an_incident_is_told_its_end(steps: list[tuple[str, str, int]]) -> None:
    db = Database.memory()
    db.create_all()
    desk = Desk(db, AlertSettings(group_s=2))
    for what, rule, seconds in steps:
        if what == "silence":
            desk.silence(seconds, rule=rule)
        elif what == "after":
            desk.after(seconds)
        elif what == "grows":
            desk.opens(rule, severity="critical")
        else:
            getattr(desk, what)(rule)
    for rule in ("drift", "performance"):
        desk.ends(rule)
    desk.after(100)  # every silence and every wait is over
    desk.after(1)
    last = {one.incident: one.event for one in desk.told()}
    assert set(last.values()) <= {"resolved"}
    with db.read() as connection:
        assert list_incidents(connection, only_open=True) == []
    assert not triage(db, desk.wanted, "shop", ["log"], desk.now_us)  # nothing is left waiting
    db.close()
