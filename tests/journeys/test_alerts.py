"""Alerts: from drifted traffic through a running control to a webhook that is away, refuses, hangs, and comes back."""

import json
import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from falaj.kernel.clock import parse_instant
from support.falaj_project import FalajProject, free_ports
from support.tour import NOW, transactions
from support.waiting import until
from support.webhook import Webhook

HISTORY = transactions(8_000)
WINDOW = 200


def usual_requests() -> list[tuple[str, float]]:
    """Card and amount of requests as of the end of history that look like the test rows, a window of them.

    As many are about cards not seen for two days as in those rows: what is too old is null, and nulls drift too.
    """
    seen: dict[str, datetime] = {}
    rows = []
    for row in HISTORY:
        rows.append((row["amount"], _is_stale(seen.get(row["card_id"]), row["event_time"])))
        seen[row["card_id"]] = row["event_time"]
    end = parse_instant(NOW)
    cards = {stale: sorted(c for c, last in seen.items() if _is_stale(last, end) is stale) for stale in (True, False)}
    latest = rows[-1_600 :: 1_600 // WINDOW]
    return [(cards[stale][i % len(cards[stale])], amount) for i, (amount, stale) in enumerate(latest)]


def _is_stale(last: datetime | None, at: datetime) -> bool:
    return last is None or at - last > timedelta(hours=48)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A receiver that is away."""
    receiver = Webhook(free_ports(1)[0])
    yield receiver
    receiver.stop()


@pytest.fixture
def watched(serving: FalajProject, webhook: Webhook) -> FalajProject:
    """Version 1 in production, watched in small windows, with alerts to the webhook; control and gateway up."""
    serving.edit(
        "fraud.py",
        "    retrain=fj.retrain(",
        "    monitor=fj.monitor(window=200, persistence=1, psi_floor=2.0),\n    retrain=fj.retrain(",
    )
    serving.edit("fraud.py", "[fj.on.drift(), ", "[")  # alerts alone are looked at here
    with (serving.folder / "falaj.toml").open("a") as file:
        url = f"http://127.0.0.1:{webhook.port}/hook?key=secret"
        file.write("[alerts]\ngroup_s = 0.2\n")
        file.write(f'[alerts.routes.hook]\nkind = "webhook"\nurl = "{url}"\nrules = ["drift"]\ntimeout_s = 1.0\n')
    serving.falaj("apply")
    return serving.up()


def decide(project: FalajProject, *, times: float = 1.0) -> None:
    """Have a window of the test rows decided upon again, with amounts as they were or changed."""
    body = [
        {"entities": {"card_id": card}, "request": {"amount": min(amount * times, 99_999.0)}, "at": NOW}
        for card, amount in usual_requests()
    ]
    reply = project.gateway("POST", "/v1/endpoints/fraud/predict", body)
    assert reply.status == 200, reply.text


def drift_opens(project: FalajProject) -> None:
    decide(project, times=30)
    until(lambda: project.json("alerts", "list", "--open"), "the alert opens")


def drift_ends(project: FalajProject) -> None:
    decide(project)
    until(lambda: not project.json("alerts", "list", "--open"), "the alert is over")


def told(notices: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Drift's messages, each by its place among their numbers: people were told of the approval before."""
    drifts = [one for one in notices if one["cause"] == "fraud"]
    numbers = sorted({one["id"] for one in drifts})
    return [(numbers.index(one["id"]) + 1, one["event"]) for one in drifts]


def test_every_alert_arrives_once_and_in_order_however_long_the_receiver_is_away(
    watched: FalajProject, webhook: Webhook
) -> None:
    drift_opens(watched)
    drift_ends(watched)
    # Nobody was there. What is owed outlives the process that owes it.
    watched.down()
    webhook.answers = [500, 302, 404]  # and then it is there, but not well
    webhook.start()
    watched.up()
    until(lambda: told(webhook.accepted) == [(1, "opened"), (2, "resolved")], "both notices arrive", within_s=90)
    assert told(webhook.received) == [(1, "opened")] * 4 + [(2, "resolved")]
    first = webhook.received[0]
    assert (first["path"], first["type"]) == ("/hook?key=secret", "application/json")
    assert (first["cause"], first["severity"]) == ("fraud", "warning")
    assert {one["incident"] for one in webhook.received} == {first["incident"]}
    (alert,) = first["alerts"]
    assert (alert["rule"], alert["subject"], alert["open"]) == ("drift", "fraud", True)
    assert "amount" in alert["message"]
    assert alert["evidence"]["drifted"]
    assert first["at"].endswith("Z")
    # The next one needs no retry, and none of the old ones comes again.
    drift_opens(watched)
    until(lambda: told(webhook.accepted)[2:] == [(3, "opened")], "the third arrives")
    watched.down()
    watched.up()
    drift_ends(watched)
    until(lambda: told(webhook.accepted)[3:] == [(4, "resolved")], "the fourth arrives")
    assert len(webhook.received) == 7
    # The log beside it has the same, and the webhook's secret stands in no log.
    # Routes do not wait for each other: the log may have the last one a moment later.
    log = watched.state / "log" / "alerts.jsonl"

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log.read_text().splitlines()]

    until(lambda: told(lines()) == told(webhook.accepted), "the log has the same")
    logs = [path for path in (watched.state / "log").glob("*.log") if "key=secret" in path.read_text()]
    assert logs == []


def test_a_control_killed_between_sending_and_noting_it_sends_again_under_the_same_number(
    watched: FalajProject, webhook: Webhook
) -> None:
    webhook.silent.set()
    webhook.start()
    drift_opens(watched)
    until(lambda: webhook.received, "it is being sent")
    os.kill(watched.pids()["control"], signal.SIGKILL)
    webhook.silent.clear()
    until(lambda: webhook.accepted, "it is sent again by the next control", within_s=60)
    drift_ends(watched)
    until(lambda: told(webhook.accepted)[1:] == [(2, "resolved")], "and the next one after it", within_s=60)
    # At least once, and told apart by their numbers: whoever counts those has each alert once.
    assert {number for number, _ in told(webhook.received)} == {1, 2}
    assert told(webhook.accepted)[0] == (1, "opened")


def test_a_receiver_that_hangs_holds_up_nothing_else(watched: FalajProject, webhook: Webhook) -> None:
    watched.edit("falaj.toml", "timeout_s = 1.0", "timeout_s = 120.0")
    watched.down()
    watched.up()
    webhook.silent.set()
    webhook.start()
    drift_opens(watched)
    until(lambda: webhook.received, "it is being sent")
    for number in range(5):
        assert watched.json("status")["gateway_workers"] == 1
        assert watched.json("token", "create", "--actor", f"a{number}", "--role", "viewer")["token"]
    drift_ends(watched)  # judged while the first message still waits
    log = watched.state / "log" / "alerts.jsonl"

    def logged() -> list[tuple[int, str]]:
        return told([json.loads(line) for line in log.read_text().splitlines()])

    until(lambda: logged() == [(1, "opened"), (2, "resolved")], "the log is told of both")
    assert (len(webhook.received), webhook.accepted) == (1, [])
    webhook.silent.clear()
    webhook.released.set()
    until(lambda: told(webhook.accepted) == [(1, "opened"), (2, "resolved")], "both arrive", within_s=90)


def test_an_incident_from_its_first_alert_to_its_post_mortem(watched: FalajProject) -> None:
    drift_opens(watched)
    (incident,) = until(lambda: watched.json("incidents", "list", "--open"), "the incident opens")
    assert (incident["cause"], incident["state"], incident["open_alerts"]) == ("fraud", "open", 1)
    number = str(incident["id"])
    viewer = watched.json("token", "create", "--actor", "eve", "--role", "viewer")["token"]
    refused = watched.run("incidents", "ack", number, "--json", token=viewer)
    assert refused.error()["code"] == "access_denied"
    assert watched.json("incidents", "ack", number, "--comment", "looking")["state"] == "acknowledged"
    watched.falaj("incidents", "comment", number, "amounts are in cents since noon")
    silence = watched.json("alerts", "silence", "--subject", "fraud", "--for", "2h", "--comment", "known")
    assert watched.json("alerts", "silences")[0]["id"] == silence["id"]
    assert watched.json("alerts", "list")[0]["silenced"]
    drift_ends(watched)
    until(lambda: not watched.json("incidents", "list", "--open"), "the incident is over")
    shown = watched.json("incidents", "show", number)
    kinds = [entry["kind"] for entry in shown["timeline"]]
    assert [kind for kind in kinds if kind in ("acknowledged", "commented", "resolved")] == [
        "acknowledged",
        "commented",
        "resolved",
    ]
    assert {"project.apply", "alert", "message", "alert.silence"} <= set(kinds)
    written = watched.falaj("incidents", "post-mortem", number)
    text = (watched.folder / f"incident-{number}.md").read_text()
    assert f"wrote incident-{number}.md" in written.out
    assert "amounts are in cents since noon" in text
    assert watched.run("incidents", "post-mortem", number).code == 5  # what somebody wrote into it is not lost
    acts = [record["action"] for record in watched.json("audit", "list")]
    assert {"incident.acknowledge", "incident.comment", "alert.silence"} <= set(acts)
    assert "failure" in watched.falaj("alerts", "routes").out  # the webhook is away in this test
