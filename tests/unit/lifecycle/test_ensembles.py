"""Ensembles from definition to explanation: planned, deployed, asked, explained, and held together."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import falaj as fj
from falaj.app.local_gateway import decide
from falaj.app.operations.endpoint import deploy
from falaj.app.operations.monitor import monitor_status, show
from falaj.app.operations.prediction import why
from falaj.app.values.endpoint import Deploy
from falaj.app.values.monitor import MonitorQuery
from falaj.app.values.prediction import WhyQuery
from falaj.governance.access import Actor, Role
from falaj.kernel.errors import AccessDenied, Conflict, DefinitionError, InputError, InUse, NotFound
from falaj.lifecycle.apply import serving_versions
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.consistency import verify_served
from falaj.lifecycle.plan import make_plan
from falaj.lifecycle.promotion import roll_back_endpoint, withdraw_endpoint
from support.rooms_world import ADA, World, definitions, endpoint, event, model, opened

ONE, OTHER = endpoint("one", model("first")), endpoint("other", model("second"))
BLEND = fj.Ensemble("blend", fj.mean_of([ONE, OTHER], weights=[1, 3]))
APP = Actor("app", Role.SERVICE)
INSTANCE = {"entities": {"card_id": "c1"}, "request": {"amount": 20.0}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two endpoints that serve, and an ensemble of both that does not yet."""
    with opened(tmp_path, definitions(ONE, OTHER, more=[BLEND])) as found:
        for name, of in (("one", "first"), ("other", "second")):
            version = found.register(of)
            found.approve(version)
            found.deploy(version, to=name)
        found.push(*(event(number) for number in range(5)))
        catch_up(found.rooms)
        found.clock.advance(3600)
        yield found


def test_what_is_asked_of_an_ensemble_and_is_its_members_says_so(world: World) -> None:
    with pytest.raises(NotFound, match="'blend' is an ensemble of endpoints") as told:
        show(world.rooms, ADA, MonitorQuery("blend"))
    assert "one, other" in str(told.value.hint)
    deploy(world.rooms, ADA, Deploy("blend", None))
    assert monitor_status(world.rooms, "blend").reason == "each member is watched by itself: one, other"


def ask(world: World) -> tuple[float, str]:
    (answer,) = decide(world.rooms, ADA, "blend", [INSTANCE])
    return answer["prediction"], answer["request_id"]


def test_it_serves_when_it_is_deployed_and_why_shows_every_member(world: World) -> None:
    promoted = deploy(world.rooms, ADA, Deploy("blend", None))
    assert (promoted.version, promoted.state) == (1, "serves")
    score, request_id = ask(world)
    found = why(world.rooms, ADA, WhyQuery(request_id))
    assert [(m.endpoint, m.model, m.version) for m in found.members] == [("one", "first", 1), ("other", "second", 1)]
    scores = [m.score for m in found.members if m.score is not None]
    assert score == pytest.approx((scores[0] + 3 * scores[1]) / 4, rel=1e-12)
    assert [f.name for f in found.members[0].features] == ["activity__seen", "activity__amount_mean", "amount"]
    assert (found.model, found.version, found.ensemble["method"]) == ("blend", 1, "mean")
    made = [(m.provenance.gate, m.provenance.approved_by, m.provenance.run_id) for m in found.members]
    assert made == [("PASS", ("eve",), "run_1"), ("PASS", ("eve",), "run_2")]
    assert why(world.rooms, ADA, WhyQuery(request_id)) == found, "from the tables as from the log"


def test_members_features_are_checked_and_their_quality_is_their_own(world: World) -> None:
    deploy(world.rooms, ADA, Deploy("blend", None))
    _, request_id = ask(world)
    world.rooms.predictions.compact()
    for name in ("one", "other"):
        (row,) = world.rooms.predictions.joined(name, role="live").to_pylist()
        assert row["request_id"] == request_id
    assert verify_served(world.rooms, "one", 10).verdict.outcome == "PASS"
    assert verify_served(world.rooms, "", 10).verdict.outcome == "PASS"


def test_a_member_s_promotion_and_rollback_show_in_the_ensemble(world: World) -> None:
    deploy(world.rooms, ADA, Deploy("blend", None))
    second = world.register("first")
    world.approve(second)
    world.deploy(second, to="one")
    world.promote(second, to="one")

    def versions() -> list[int]:
        _, request_id = ask(world)
        return [member.version for member in why(world.rooms, ADA, WhyQuery(request_id)).members]

    assert versions() == [2, 1]
    roll_back_endpoint(world.rooms, "one", ADA, "a test")
    assert versions() == [1, 1]


def test_a_changed_definition_takes_effect_by_deploy_and_is_taken_back_by_rollback(world: World) -> None:
    deploy(world.rooms, ADA, Deploy("blend", None))
    with pytest.raises(Conflict, match="serves so already"):
        deploy(world.rooms, ADA, Deploy("blend", None))
    before, _ = ask(world)
    changed = definitions(ONE, OTHER, more=[fj.Ensemble("blend", fj.vote_of([ONE, OTHER], threshold=0.0))])
    changes = make_plan(world.rooms.definitions, changed, epoch=1, serving=serving_versions(world.rooms)).changes
    assert [(c.kind, c.name, c.effect) for c in changes] == [
        ("ensemble", "blend", "takes effect when it is deployed: falaj deploy blend")
    ]
    world.apply(changed)
    assert ask(world)[0] == before
    assert deploy(world.rooms, ADA, Deploy("blend", None)).version == 2
    assert ask(world)[0] == 1.0
    roll_back_endpoint(world.rooms, "blend", ADA, "a test")
    assert ask(world)[0] == before


def test_what_an_ensemble_needs_is_not_taken_away_under_it(world: World) -> None:
    deploy(world.rooms, ADA, Deploy("blend", None))
    with pytest.raises(InUse, match="ensemble 'blend' needs endpoint 'one'"):
        withdraw_endpoint(world.rooms, "one", ADA)
    with pytest.raises(InUse, match="removed ensemble 'blend'"):
        world.apply(definitions(ONE, OTHER))
    withdraw_endpoint(world.rooms, "blend", ADA)
    world.apply(definitions(ONE, OTHER))
    withdraw_endpoint(world.rooms, "one", ADA)


def test_it_is_refused_where_a_member_does_not_serve(world: World) -> None:
    withdraw_endpoint(world.rooms, "one", ADA)
    with pytest.raises(Conflict, match="member 'one' of ensemble 'blend' does not serve"):
        deploy(world.rooms, ADA, Deploy("blend", None))


def test_only_who_may_deploy_may_and_it_has_no_versions_to_choose(world: World) -> None:
    with pytest.raises(AccessDenied):
        deploy(world.rooms, APP, Deploy("blend", None))
    with pytest.raises(InputError, match="no versions to choose"):
        deploy(world.rooms, ADA, Deploy("blend", 1))


def test_a_cascade_says_who_was_not_asked(world: World) -> None:
    world.apply(definitions(ONE, OTHER, more=[fj.Ensemble("blend", fj.cascade_of(ONE, OTHER, low=0.0, high=0.0))]))
    deploy(world.rooms, ADA, Deploy("blend", None))
    found = why(world.rooms, ADA, WhyQuery(ask(world)[1]))
    assert [member.endpoint for member in found.members] == ["one"]
    assert list(found.ensemble["members"]) == ["one", "other"]


def test_names_are_told_apart() -> None:
    with pytest.raises(DefinitionError, match="bears the name of the model 'first'"):
        definitions(ONE, OTHER, more=[fj.Ensemble("first", fj.mean_of([ONE, OTHER]))])
