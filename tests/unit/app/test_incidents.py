"""Incidents as operations: what happened around one, in order, and who may do what."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from falaj.app.operation import perform
from falaj.app.operations.alert import silence
from falaj.app.values.alert import SilenceAlerts
from falaj.governance.access import SYSTEM, Actor, Role
from falaj.kernel.alert_settings import AlertSettings, RouteSettings
from falaj.kernel.clock import to_us
from falaj.kernel.errors import AccessDenied, Conflict, InputError, NotFound
from falaj.kernel.settings import Settings
from falaj.lifecycle.alert_rules import ALERT_RULES
from falaj.lifecycle.alerting import Triage
from falaj.lifecycle.approval_notices import ApprovalNotices
from falaj.lifecycle.promotion import roll_back_endpoint
from falaj.monitoring.alert_message import messages_after
from falaj.monitoring.alerts import Alert, list_alerts, open_alert, resolve_alert
from support.rooms_world import ADA, EVE, World, definitions, opened

HOOK = RouteSettings("webhook", severity="critical", url="http://127.0.0.1:1/secret")
SETTINGS = Settings(alerts=AlertSettings(group_s=0, routes={"hook": HOOK}))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project with one endpoint."""
    with opened(tmp_path, definitions(), settings=SETTINGS) as found:
        yield found


def found(world: World, rule: str = "drift", subject: str = "fraud") -> None:
    alert = Alert(rule, "warning", subject, "amount | drifted", {"psi": 0.41234567, "drifted": ["amount"]}, now(world))
    with world.rooms.db.write() as connection:
        open_alert(connection, alert)
    Triage(world.rooms).run_pass(world.clock.now())


def over(world: World, rule: str = "drift", subject: str = "fraud") -> None:
    with world.rooms.db.write() as connection:
        resolve_alert(connection, rule, subject, "no drift", now(world))
    Triage(world.rooms).run_pass(world.clock.now())


def now(world: World) -> int:
    return to_us(world.clock.now())


def do(world: World, name: str, by: Actor = ADA, **params: Any) -> Any:
    return perform(world.rooms, by, name, params)


def events(world: World) -> list[tuple[str, str]]:
    with world.rooms.db.read() as connection:
        return [(one.event, one.actor) for one in messages_after(connection, 0)]


def test_the_timeline_has_what_changed_before_and_what_was_done(world: World) -> None:
    for _ in range(2):
        version = world.register()
        world.approve(version)
        if world.deploy(version).state == "rolling out":
            world.promote(version)
    world.clock.advance(600)
    found(world)
    world.clock.advance(60)
    do(world, "incident.acknowledge", incident=1, comment="I look")
    world.clock.advance(60)
    roll_back_endpoint(world.rooms, "fraud", ADA, "amounts are in cents")  # which closes the alert
    world.clock.advance(1)
    Triage(world.rooms).run_pass(world.clock.now())
    world.clock.advance(60)
    do(world, "incident.comment", EVE_ENGINEER, incident=1, comment="a test would have found it")
    shown = do(world, "incident.show", incident=1)
    told = [(one.kind, one.actor) for one in shown.timeline]
    assert told[0] == ("project.apply", "ada")
    assert ("endpoint.deploy", "ada") in told
    mine = [one for one in told[told.index(("alert", "system")) :] if not one[0].startswith("model.")]
    assert mine == [
        ("alert", "system"),
        ("message", "system"),
        ("acknowledged", "ada"),
        ("message", "system"),
        ("endpoint.rollback", "ada"),
        ("alert", "system"),
        ("resolved", "system"),
        ("message", "system"),
        ("commented", "eve2"),
    ]
    assert [one.at_us for one in shown.timeline] == sorted(one.at_us for one in shown.timeline)
    assert "amounts are in cents" in next(one.text for one in shown.timeline if one.kind == "endpoint.rollback")
    assert (shown.incident.state, shown.incident.acknowledged_by, shown.incident.resolved_by) == (
        "resolved",
        "ada",
        "system",
    )


EVE_ENGINEER = Actor("eve2", Role.ENGINEER)


def test_changes_of_other_endpoints_and_of_long_before_are_left_out(world: World) -> None:
    world.clock.advance(3_601)  # the project was applied an hour and a second ago
    version = world.register()
    found(world)
    shown = do(world, "incident.show", incident=1)
    assert [one.kind for one in shown.timeline] == ["model.register", "alert", "message"]
    assert shown.timeline[0].text.startswith(version.subject)
    found(world, "drift", "churn")
    assert "model.register" in [one.kind for one in do(world, "incident.show", incident=2).timeline]  # about any


def test_what_a_person_resolves_is_closed_and_told(world: World) -> None:
    found(world)
    world.clock.advance(5)
    assert do(world, "incident.resolve", incident=1, comment="a sale").open_alerts == 0
    Triage(world.rooms).run_pass(world.clock.now())
    with world.rooms.db.read() as connection:
        (alert,) = list_alerts(connection)
    assert alert.resolved_us == now(world)
    assert events(world) == [("opened", ""), ("resolved", "ada")]
    found(world)  # it was no sale
    assert [one.state for one in do(world, "incident.list")] == ["open", "resolved"]


def test_a_version_that_waits_for_an_approval_is_listed_when_it_is_asked_for(world: World) -> None:
    world.deploy(world.register())
    ApprovalNotices(world.rooms).run_pass(world.clock.now())
    Triage(world.rooms).run_pass(world.clock.now())
    assert do(world, "incident.list") == []
    assert [one.severity for one in do(world, "incident.list", severity="info")] == ["info"]
    found(world)
    assert [one.severity for one in do(world, "incident.list")] == ["warning"]
    assert do(world, "incident.list", severity="critical") == []


def test_a_silence_of_what_no_alert_is_about_is_refused(world: World) -> None:
    for rule, meant in (("drft", "did you mean 'drift'"), ("", "known: "), ("pipelines*", "did you mean 'pipeline'")):
        with pytest.raises(InputError, match="is none that an alert has") as refused:
            do(world, "alert.silence", subject="*", lasts="1h", comment="known", rule=rule)
        assert meant in refused.value.hint
    found(world, rule="of_a_plugin")
    for rule in ("of_a_plugin", "data_*", "*"):
        assert do(world, "alert.silence", subject="*", lasts="1h", comment="known", rule=rule).rule == rule


def test_the_rules_that_people_read_of_are_those_that_there_are() -> None:
    told = (Path(__file__).parents[3] / "docs/how-to/be-told.md").read_text()
    sentence = told[told.index("Rules are `drift`") : told.index("Without a rule of")]
    assert {one for one in ALERT_RULES if f"`{one}`" not in sentence} == set()


def test_who_was_told_is_told_that_somebody_attends_to_it_and_nobody_else_is(world: World) -> None:
    do(world, "alert.silence", subject="churn", lasts="1h", comment="known")
    found(world, subject="churn")
    found(world, subject="fraud")
    for number in (1, 2):
        do(world, "incident.acknowledge", incident=number)
    assert events(world) == [("opened", ""), ("acknowledged", "ada")]


def test_a_silence_is_audited_and_shown(world: World) -> None:
    found(world)
    made = silence(world.rooms, ADA, SilenceAlerts("fra*", "2h", "a sale", rule="drift"))
    assert made.ends_us - made.began_us == 2 * 3_600_000_000
    assert do(world, "alert.list")[0].silenced
    record = next(one for one in do(world, "audit.list") if one.action == "alert.silence")
    assert (record.actor, record.resource, record.detail) == (
        "ada",
        "fra*",
        {"rule": "drift", "for": "2h", "comment": "a sale", "silence": "1"},
    )
    do(world, "alert.unsilence", silence=1)
    assert not do(world, "alert.list")[0].silenced
    assert do(world, "alert.silences") == []
    assert len(do(world, "alert.silences", only_in_force=False)) == 1


@pytest.mark.parametrize("lasts", ["soon", "0s", "400d", ""])
def test_a_silence_has_an_end(world: World, lasts: str) -> None:
    with pytest.raises(InputError):
        do(world, "alert.silence", subject="*", lasts=lasts, comment="why")


def test_a_silence_says_why(world: World) -> None:
    with pytest.raises(InputError):
        do(world, "alert.silence", subject="*", lasts="1h", comment="")


def test_who_may_not_act_may_look(world: World) -> None:
    found(world)
    for name, params in (
        ("alert.silence", {"subject": "*", "lasts": "1h", "comment": "x"}),
        ("incident.acknowledge", {"incident": 1}),
        ("incident.comment", {"incident": 1, "comment": "x"}),
        ("incident.resolve", {"incident": 1, "comment": "x"}),
    ):
        for role in (Role.VIEWER, Role.APPROVER, Role.SERVICE):
            with pytest.raises(AccessDenied):
                do(world, name, Actor("some", role), **params)
    assert do(world, "incident.show", EVE, incident=1).incident.state == "open"


def test_what_is_not_there_or_over_is_refused(world: World) -> None:
    for name in ("incident.show", "incident.acknowledge", "incident.post_mortem"):
        with pytest.raises(NotFound, match="incident 9"):
            do(world, name, incident=9)
    found(world)
    over(world)
    with pytest.raises(Conflict, match="resolved"):
        do(world, "incident.acknowledge", incident=1)
    with pytest.raises(Conflict, match="resolved"):
        do(world, "incident.resolve", incident=1, comment="x")


def test_the_post_mortem_has_the_figures_and_keeps_to_its_tables(world: World) -> None:
    found(world)
    world.clock.advance(90)
    do(world, "incident.acknowledge", incident=1, comment="<b>I | look</b>\n# now")
    world.clock.advance(3_600)
    over(world)
    text = do(world, "incident.post_mortem", incident=1).text
    assert "| until somebody took it | 1 min 30 s |" in text
    assert "| until it was over | 1 h 1 min 30 s |" in text
    assert "| psi | 0.412346 |" in text
    assert "acknowledged: \\<b\\>I \\| look\\</b\\> # now |" in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# Incident 1: fraud"]
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in (3, 4, 6), line


def test_the_post_mortem_leaves_out_what_did_not_alarm(world: World) -> None:
    calm = {"alarm": False, "judged": True, "effect": 0.01, "floor": 0.1}
    columns = {f"quiet_{n}": {"shape": calm, "missing": calm} for n in range(50)}
    columns["amount"] = {"shape": {**calm, "alarm": True, "effect": 0.412}, "missing": calm}
    evidence = {"drifted": ["amount"], "columns": columns, "streaks": {"amount": 3}}
    with world.rooms.db.write() as connection:
        open_alert(connection, Alert("drift", "warning", "fraud", "amount drifted", evidence, now(world)))
    Triage(world.rooms).run_pass(world.clock.now())
    text = do(world, "incident.post_mortem", incident=1).text
    assert "| drifted | amount |" in text
    assert "| columns.amount.shape.effect | 0.412 |" in text
    assert "quiet" not in text and "alarm |" not in text
    assert "more, of what did not alarm too, in `falaj monitor`" in text


def test_routes_say_how_they_fare_and_no_secret(world: World) -> None:
    found(world)
    log, hook = do(world, "alert.routes")
    assert (log.route, log.waiting, hook.route, hook.severity) == ("log", 1, "hook", "critical")
    assert "secret" not in msgspec.json.encode([log, hook]).decode()


def test_the_system_can_do_all_of_it(world: World) -> None:
    found(world)
    assert do(world, "incident.resolve", SYSTEM, incident=1, comment="x").resolved_by == "system"
