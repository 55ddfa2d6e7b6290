"""Status and tokens: what is shown of what there is, and nothing left of what was refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import falaj as fj
from falaj.app.operations.freshness import freshness
from falaj.app.operations.model import train
from falaj.app.operations.monitor import show
from falaj.app.operations.status import status
from falaj.app.operations.token import create
from falaj.app.reconcilers import Sampling
from falaj.app.values.freshness import FreshnessQuery
from falaj.app.values.model import Train
from falaj.app.values.monitor import MonitorQuery
from falaj.app.values.status import EndpointStatus, MonitorStatus, StatusQuery
from falaj.app.values.token import CreateToken
from falaj.cli.monitor import drift_subject, realised_lines
from falaj.cli.status import endpoint_lines
from falaj.governance.access import Actor, Role
from falaj.kernel.clock import to_us
from falaj.kernel.errors import DefinitionError, InputError
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.promotion import Promotions, roll_back_endpoint, withdraw_endpoint
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import RunState
from falaj.pipelines.submission import end_run
from falaj.serving.stats import LoadError, WorkerStats, write_stats
from support.rooms_world import ADA, World, definitions, endpoint, event, model, opened, view

OWNER = Actor("owner", Role.OWNER)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project with one endpoint and no version."""
    with opened(tmp_path, definitions()) as found:
        yield found


def made(world: World) -> ModelVersion:
    """Register a version of a run of its own."""
    run_id = train(world.rooms, ADA, Train("fraud")).run_id
    with world.rooms.db.write() as connection:
        end_run(connection, run_id, RunState.SUCCEEDED, to_us(world.clock.now()), None)
    return world.register(run_id=run_id)


def deploy(world: World) -> ModelVersion:
    """Let a version be rolled out."""
    version = made(world)
    world.approve(version)
    world.deploy(version)
    return version


def shown(world: World) -> dict[int, tuple[str, float, int, int]]:
    """Version to variant, share, requests and errors, of the one endpoint."""
    found = endpoint_shown(world)
    return {v.version: (v.variant, v.weight_percent, v.requests, v.errors) for v in found.variants}


def endpoint_shown(world: World) -> EndpointStatus:
    (found,) = status(world.rooms, OWNER, StatusQuery()).endpoints
    return found


def test_a_version_keeps_its_counts_whatever_it_is_called(world: World) -> None:
    deploy(world)
    world.answered(1, 30, 2, variant="champion")
    second = deploy(world)
    world.answered(2, 10)
    assert shown(world) == {1: ("champion", 90.0, 30, 2), 2: ("candidate", 10.0, 10, 0)}
    assert endpoint_shown(world).rollout == "canary step 1 of 2: 10 %"
    world.promote(second)
    assert shown(world) == {2: ("champion", 100.0, 210, 0)}
    assert endpoint_shown(world).rollout == ""
    roll_back_endpoint(world.rooms, "fraud", ADA, "it is worse")
    assert shown(world) == {1: ("champion", 100.0, 30, 2)}


def test_rates_are_over_the_last_half_minute(world: World) -> None:
    deploy(world)
    sampling = Sampling(world.rooms)
    for _ in range(10):
        world.answered(1, 50, variant="champion")
        sampling.run_pass(world.clock.now())
        world.clock.advance(10)
    assert endpoint_shown(world).variants[0].rate_per_s == 5.0


def test_a_finding_names_what_it_is_about() -> None:
    found = MonitorStatus(version="fraud/2", at_us=1_000_000, window=2_000)
    assert drift_subject(found) == "fraud/2 in its window of 2,000 decisions at 1970-01-01T00:00:01Z: "
    assert drift_subject(MonitorStatus(version="fraud/2")) == "fraud/2: "
    assert drift_subject(MonitorStatus()) == ""


def test_outcomes_that_came_too_early_are_not_passed_over_in_silence() -> None:
    early = MonitorStatus(version="fraud/2", quality="0 mature outcomes; 100 are needed", early=1)
    assert list(realised_lines(early)) == [
        "realised quality of fraud/2: 0 mature outcomes; 100 are needed",
        "1 outcome of decisions younger than the label's delay, which do not count yet",
    ]
    known = MonitorStatus(version="fraud/2", quality="measured", outcomes=250, realised={"auc": 0.9, "f1": None})
    assert list(realised_lines(known)) == ["realised quality of fraud/2 over 250 outcomes: auc 0.9000"]
    first = MonitorStatus(version="fraud/2", outcomes=1, quality="1 mature outcomes; 100 are needed")
    assert list(realised_lines(first)) == ["realised quality of fraud/2: 1 mature outcomes; 100 are needed"]
    assert list(realised_lines(MonitorStatus(version="fraud/2"))) == []
    strange = MonitorStatus(version="fraud/2", quality="0 mature outcomes; 100 are needed", unknown=2)
    assert list(realised_lines(strange)) == ["2 outcomes of request ids that no decision has, which count for nothing"]


def test_what_is_wanted_and_waits_says_what_for(world: World) -> None:
    deploy(world)
    assert endpoint_shown(world).rollout == ""
    world.apply(definitions(policy=fj.Policy(soak="1h")))
    version = made(world)
    world.deploy(version)
    assert endpoint_shown(world).rollout == "version 2 waits for approval"
    world.approve(version)
    assert "version 2 waits in staging: it has to stand in staging for 1h" in endpoint_shown(world).rollout
    Promotions(world.rooms).run_pass(world.clock.now())
    assert "until" in endpoint_shown(world).rollout
    world.clock.advance(3600)
    assert endpoint_shown(world).rollout == "version 2 is about to go out"
    Promotions(world.rooms).run_pass(world.clock.now())
    assert endpoint_shown(world).rollout == "canary step 1 of 2: 10 %"


def test_what_serves_nothing_is_not_shown(world: World) -> None:
    assert status(world.rooms, OWNER, StatusQuery()).endpoints == ()
    assert show(world.rooms, OWNER, MonitorQuery("fraud")) == MonitorStatus()
    deploy(world)
    withdraw_endpoint(world.rooms, "fraud", ADA)
    assert status(world.rooms, OWNER, StatusQuery()).endpoints == ()


def test_the_audit_is_shown_to_who_may_read_it(world: World) -> None:
    viewer = Actor("vic", Role.VIEWER, scopes=("project.read",))
    assert status(world.rooms, OWNER, StatusQuery()).audit
    assert status(world.rooms, viewer, StatusQuery()).audit == ()


@pytest.mark.parametrize(
    "asked", [CreateToken("bob", "viewer", expires="soon"), CreateToken("bob", "viewer", expires="0s"),
              CreateToken("bob", "viewer", scopes=()), CreateToken("bob", "viewer", scopes=("",))]
)  # fmt: skip
def test_a_token_that_is_refused_leaves_no_actor(world: World, asked: CreateToken) -> None:
    with pytest.raises((InputError, DefinitionError)):
        create(world.rooms, OWNER, asked)
    assert "bob" not in {one.name for one in world.rooms.actors.list()}


def test_a_token_is_made_for_an_actor_in_its_role(world: World) -> None:
    assert create(world.rooms, OWNER, CreateToken("bob", "viewer")).role == "viewer"
    assert create(world.rooms, OWNER, CreateToken("bob")).role == "viewer"
    with pytest.raises(InputError, match="has the role viewer"):
        create(world.rooms, OWNER, CreateToken("bob", "owner"))
    with pytest.raises(InputError, match="'rob' does not exist"):
        create(world.rooms, OWNER, CreateToken("rob"))


def test_of_a_changed_view_it_says_which_is_the_old_one(world: World) -> None:
    world.push(event(1))
    deploy(world)
    changed = view(seen=fj.count(window="2d"), amount_mean=fj.mean("amount", window="7d"))
    world.apply(definitions(endpoint(of=model(over=changed))))
    catch_up(world.rooms)
    found = freshness(world.rooms, OWNER, FreshnessQuery())
    kept = {one.definition: one.old for one in found}
    now = world.rooms.applied.document.views["activity"].digest[:12]
    assert len(kept) == 2
    assert {name for name, old in kept.items() if not old} == {now}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"scopes": ("endpoint.predct@fraud",)}, "names no action"),
        ({"scopes": ("endpoint.predict", "monitor.read")}, "allows a token of role service nothing"),
        ({"tenant": "nosuch"}, "has no limit to share"),
    ],
)
def test_a_token_that_would_be_turned_away_or_never_limited_is_not_made(
    world: World, more: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        create(world.rooms, OWNER, CreateToken("app", "service", **more))
    assert "app" not in {one.name for one in world.rooms.actors.list()}
    assert create(world.rooms, OWNER, CreateToken("app", "service", scopes=("endpoint.*", "feedback.push"))).token


def test_an_endpoint_that_workers_cannot_load_says_so(world: World) -> None:
    deploy(world)
    folder, now_us = world.rooms.state.stats, to_us(world.clock.now())
    write_stats(WorkerStats(worker="gateway-0", written_us=now_us), folder)
    assert "not loaded" not in "".join(endpoint_lines(endpoint_shown(world)))
    for worker, older in (("gateway-1", True), ("gateway-2", False)):
        error = LoadError("fraud", "artifact ab12 is missing", older)
        write_stats(WorkerStats(worker=worker, written_us=now_us, load_errors=[error]), folder)
    (line,) = [line for line in endpoint_lines(endpoint_shown(world)) if "not loaded" in line]
    assert "2 of 3 gateway workers cannot load it" in line
    assert line.endswith("answered with 503 there: artifact ab12 is missing")
