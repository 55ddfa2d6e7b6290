"""Approval notices: over the real routes, who must approve is told once, and what came of it; whoever dies when."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falaj.app.reconcilers import Expiry
from falaj.definitions.policy import Policy
from falaj.governance.access import SYSTEM
from falaj.kernel.alert_settings import AlertSettings, RouteSettings
from falaj.kernel.clock import ManualClock
from falaj.kernel.settings import Settings
from falaj.lifecycle.alerting import Triage, deliveries
from falaj.lifecycle.approval_notices import ApprovalNotices
from falaj.lifecycle.approving import ask_for_approval
from falaj.lifecycle.hindrances import unquiet
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import list_alerts
from falaj.pipelines.reconcile import Reconciler
from support.rooms_world import EVE, START, Deaths, Killed, World, definitions, opened
from support.smtp_server import SmtpServer
from support.webhook import Webhook

SECRET = "hunter2hunter2"
TWO = Policy(approvals=2, approvers=["approver", "actor:ada"], expires="7d", quiet=True)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    receiver = Webhook(port)
    receiver.start()
    yield receiver
    receiver.stop()


@pytest.fixture
def mailbox() -> Iterator[SmtpServer]:
    server = SmtpServer(SECRET)
    yield server
    server.close()


@pytest.fixture
def settings(hook: Webhook, mailbox: SmtpServer) -> Settings:
    """A webhook for approvals alone, a mailbox for everything, a pager, and a route for what is worse."""
    url = f"http://127.0.0.1:{hook.port}/hook/{SECRET}"
    mail = RouteSettings(
        "email", host="127.0.0.1", port=mailbox.port, tls="none", username="falaj", secret=SECRET,
        sender="falaj@shop.example", to=("eve@shop.example",),
    )  # fmt: skip
    routes = {
        "hook": RouteSettings("webhook", url=url, rules=("approval",)),
        "mail": mail,
        "pager": RouteSettings("pagerduty", url=f"{url}/pager", secret=SECRET),
        "worse": RouteSettings("webhook", url=f"{url}/worse", severity="warning"),
    }
    return Settings(alerts=AlertSettings(group_s=0, routes=routes))


@pytest.fixture
def world(tmp_path: Path, settings: Settings) -> Iterator[World]:
    with opened(tmp_path, definitions(policy=TWO), settings=settings) as found:
        told(found)  # routes begin with what comes after them
        yield found


def told(world: World) -> None:
    """One pass of all that tells people, as control makes them."""
    now = world.clock.now()
    all_of_them: list[Reconciler] = [
        Expiry(world.rooms), ApprovalNotices(world.rooms), Triage(world.rooms), *deliveries(world.rooms)
    ]  # fmt: skip
    for one in all_of_them:
        one.run_pass(now)


def asked(world: World) -> ModelVersion:
    version = world.register()
    ask_for_approval(world.rooms, version, "new labels")
    return version


def answer(world: World, version: ModelVersion, *, yes: bool = True, comment: str = "") -> None:
    (pending,) = [one for one in world.rooms.approvals.find(subject=version.subject) if one.state == "PENDING"]
    decide = world.rooms.approvals.approve if yes else world.rooms.approvals.reject
    decide(pending.id, EVE, comment)


def said(hook: Webhook) -> list[tuple[str, str]]:
    """Event and summary of what the hook for approvals took."""
    return [(one["event"], one["summary"]) for one in hook.accepted]


def test_a_question_is_told_once_with_all_that_its_answer_takes(
    world: World, hook: Webhook, mailbox: SmtpServer
) -> None:
    version = asked(world)
    for _ in range(3):
        told(world)
    (message,) = hook.accepted
    (alert,) = message["alerts"]
    assert (alert["rule"], alert["subject"], alert["severity"], alert["open"]) == ("approval", "fraud/1", "info", True)
    evidence: dict[str, Any] = alert["evidence"]
    assert evidence["approvers"] == ["approver", "actor:ada"]
    assert (evidence["missing"], evidence["not_by"], evidence["command"]) == (2, "ada", "falaj approve fraud 1")
    assert evidence["expires"] == "2026-01-12T00:00:00Z"
    assert evidence["link"].endswith("/models/fraud/versions/1/gate")
    (mail,) = mailbox.mails
    text = mail.message.get_content()
    for part in ("2 approvals of 2", "approver or actor:ada", "not by ada", evidence["expires"], evidence["command"]):
        assert part in " ".join(text.split())
    assert {one["path"] for one in hook.received} == {f"/hook/{SECRET}"}  # neither the pager nor who hears of worse
    assert unquiet(world.rooms, "fraud", version.model) == ""  # a question is no reason to hold an answer back


def test_each_of_two_approvals_and_a_refusal_are_told(world: World, hook: Webhook) -> None:
    version = asked(world)
    told(world)
    answer(world, version, comment="gate read")
    ask_for_approval(world.rooms, version, "new labels")  # as the operation does while one is missing
    told(world)
    answer(world, version, yes=False, comment="too many nulls")
    told(world)
    told(world)
    assert [event for event, _ in said(hook)] == ["opened", "changed", "resolved"]
    endings = [alert["ending"] for one in hook.accepted for alert in one["alerts"] if alert["ending"]]
    assert endings == [
        "version 1 of model 'fraud' was approved by eve: gate read; 1 more of 2 missing",
        "version 1 of model 'fraud' was refused by eve: too many nulls",
    ]


def test_a_question_that_lapsed_is_told_again_with_what_asks_anew(world: World, hook: Webhook) -> None:
    asked(world)
    told(world)
    world.clock.advance(7 * 86_400 + 1)
    told(world)
    told(world)
    assert [event for event, _ in said(hook)] == ["opened", "resolved"]
    assert "nobody answered until 2026-01-12" in said(hook)[1][1]
    assert "falaj approve fraud 1 asks anew" in said(hook)[1][1]


def test_a_question_that_a_newer_version_ended_is_told_so(world: World, hook: Webhook) -> None:
    world.deploy(world.register())
    told(world)
    world.deploy(world.register())
    told(world)
    endings = [alert["ending"] for one in hook.accepted for alert in one["alerts"] if alert["ending"]]
    assert endings == ["version 1 of model 'fraud' waits for no approval any more: version 2 replaced it"]
    with world.rooms.db.read() as connection:
        assert [one.alert.subject for one in list_alerts(connection, only_open=True)] == ["fraud/2"]


def test_an_answer_before_anybody_was_told_is_told_alone(world: World, hook: Webhook) -> None:
    version = asked(world)
    answer(world, version)
    told(world)
    told(world)
    (message,) = hook.accepted
    assert [alert["open"] for alert in message["alerts"]] == [False]
    assert "approved by eve" in message["alerts"][0]["message"]


def test_a_policy_that_asks_nobody_tells_nobody(world: World, hook: Webhook) -> None:
    world.apply(definitions(policy=Policy(auto_promote=True)))
    version = world.register()
    world.rooms.approvals.request("model", version.subject, SYSTEM)
    told(world)
    assert (hook.received, world.rooms.approvals.untold()) == ([], [])


@pytest.mark.parametrize("committing", [False, True])
def test_whoever_dies_wherever_each_message_is_made_once(tmp_path: Path, settings: Settings, committing: bool) -> None:
    survived = 0
    for at in range(12):
        clock = ManualClock(START)
        with opened(tmp_path / str(at), definitions(policy=TWO), clock, settings) as world:
            told(world)
            version = asked(world)
            deaths = Deaths(world.rooms, at, committing=committing)
            try:
                told(world)
            except Killed:
                survived += 1
        with opened(tmp_path / str(at), clock=clock, settings=settings) as world:
            told(world)
            answer(world, version, yes=False)
            told(world)
            told(world)
            with world.rooms.db.read() as connection:
                (alert,) = list_alerts(connection)
            assert alert.occurrences == 1
            lines = (world.rooms.state.log / "alerts.jsonl").read_text().splitlines()
            numbers = [line.split('"id":')[1].split(",")[0] for line in lines]
            assert sorted(set(numbers)) == ["1", "2"], (at, deaths.died)
    assert survived >= 4


def test_a_receiver_that_is_away_has_it_later_and_nothing_names_the_secret(
    world: World, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answers = [503]
    asked(world)
    told(world)
    assert hook.accepted == []
    world.clock.advance(2)
    told(world)
    assert [event for event, _ in said(hook)] == ["opened"]
    files = [path.read_bytes() for path in world.rooms.state.log.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in content for content in files)
    assert SECRET not in caplog.text
