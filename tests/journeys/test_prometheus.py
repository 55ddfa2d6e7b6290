"""Prometheus over a real gateway and control: what rules and dashboards name is there, and a planted fault fires."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.monitoring.dashboards import PROVIDER_FILE
from falaj.monitoring.prometheus_rules import RULES_FILE
from support.falaj_project import FalajProject
from support.prometheus import Prometheus, prometheus, promtool
from support.tour import NOW
from support.waiting import until

WINDOW = 200
OLDER = "2025-02-01T00:00:00Z"


@pytest.fixture
def watched(serving: FalajProject) -> FalajProject:
    """Version 1 in production, watched in small windows; control and gateway up."""
    serving.edit(
        "fraud.py",
        "    retrain=fj.retrain(",
        "    monitor=fj.monitor(window=200, persistence=1, psi_floor=0.5),\n    retrain=fj.retrain(",
    )
    serving.edit("fraud.py", "[fj.on.drift(), ", "[")
    serving.falaj("apply")
    return serving.up()


@pytest.fixture
def generated(watched: FalajProject) -> Path:
    """The rules and dashboards of the project, as files."""
    watched.falaj("alerts", "rules", "--out", "made")
    watched.falaj("dashboards", "--out", "made")
    return watched.folder / "made"


@pytest.fixture
def scraping(watched: FalajProject, generated: Path, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes both with a token that may do nothing else."""
    token = watched.json("token", "create", "--actor", "prometheus", "--role", "viewer", "--scope", "monitor.read")
    targets = {"gateway": watched.gateway_port, "control": watched.control_port}
    with prometheus(tmp_path, targets, token["token"], generated / RULES_FILE) as running:
        yield running


def decide(project: FalajProject, *, amount: float, at: str, count: int = WINDOW) -> list[str]:
    body = [
        {"entities": {"card_id": f"card_{number}"}, "request": {"amount": amount + number}, "at": at}
        for number in range(count)
    ]
    reply = project.gateway("POST", "/v1/endpoints/fraud/predict", body)
    assert reply.status == 200, reply.text
    return [one["request_id"] for one in reply.json()]


def named(generated: Path) -> set[str]:
    """Every metric that rules and dashboards name, but for what rules record."""
    texts = [(generated / RULES_FILE).read_text()]
    for path in generated.glob("*.json"):
        texts += [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    return {name for text in texts for name in re.findall(r"(?<![\w:])falaj_\w+(?![\w:])", text)}


def test_what_rules_and_dashboards_name_is_scraped_and_a_planted_fault_fires(
    watched: FalajProject, generated: Path, scraping: Prometheus
) -> None:
    assert (generated / PROVIDER_FILE).exists()
    promtool("check", "rules", generated / RULES_FILE)
    older = decide(watched, amount=20.0, at=OLDER)
    for number, request_id in enumerate(older):
        outcome = {"request_id": request_id, "outcome": number % 7 == 0}
        reply = watched.gateway("POST", "/v1/feedback", outcome)
        assert reply.status < 300, reply.text
    decide(watched, amount=90_000.0, at=NOW)
    watched.run("features", "verify")  # whatever it finds: the tour's cards are not asked about
    wanted = named(generated)
    assert len(wanted) > 30
    recorded = set(re.findall(r"record: (\S+)", (generated / RULES_FILE).read_text()))
    missing = wanted | recorded

    def complete() -> bool:
        nonlocal missing
        missing = (wanted | recorded) - scraping.names()
        return not missing

    with contextlib.suppress(AssertionError):
        until(complete, "every name has a series", within_s=60)
    assert missing == set()
    firing = until(
        lambda: scraping.query('ALERTS{alertname="FalajDrift",alertstate="firing"}'), "the planted drift fires"
    )
    assert (firing[0]["metric"]["endpoint"], firing[0]["metric"]["version"]) == ("fraud", "fraud/1")
    others = {one["metric"]["alertname"] for one in scraping.query('ALERTS{alertstate="firing"}')}
    assert others <= {"FalajDrift", "FalajQuality"}
