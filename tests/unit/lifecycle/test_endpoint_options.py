"""How requests are treated follows the definitions, with a version and without one, and survives a rollout."""

from pathlib import Path
from typing import Any

import pytest

import falaj as fj
from falaj.app.operation import perform
from falaj.app.values.project import PlanQuery
from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.routing_table import EndpointRoute
from falaj.kernel.errors import DefinitionError
from falaj.rollout.table import current_route
from support.rooms_world import ADA, World, definitions, endpoint, opened


def route_of(world: World) -> EndpointRoute:
    with world.rooms.db.read() as connection:
        found = current_route(connection, "fraud")
    assert found is not None
    return found


def test_options_are_deployed_and_changed_by_apply_alone(tmp_path: Path) -> None:
    with opened(tmp_path, definitions(endpoint(deadline="50ms", max_rows=10))) as world:
        version = world.register()
        world.approve(version)
        world.deploy(version)
        before = route_of(world)
        assert before.options == EndpointOptions(50.0, 10)
        wanted = definitions(endpoint(cache=fj.Cache("2s", 8), features_max_age="0ms"))
        perform(world.rooms, ADA, "project.apply", PlanQuery(wanted))
        after = route_of(world)
        assert after.options == EndpointOptions(None, None, fj.Cache("2s", 8), 0.0)
        assert after.epoch == before.epoch + 1
        assert after.variants == before.variants
        perform(world.rooms, ADA, "project.apply", PlanQuery(wanted))
        assert route_of(world).epoch == after.epoch


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"deadline": "0ms"}, "deadline"),
        ({"deadline": "soon"}, "deadline"),
        ({"max_rows": 0}, "max_rows"),
        ({"features_max_age": "1"}, "features_max_age"),
    ],
)
def test_options_that_make_no_sense_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(DefinitionError, match=named):
        endpoint(**wrong)


@pytest.mark.parametrize(("ttl", "max_mib"), [("0s", 1), ("x", 1), ("1s", 0), ("1s", 10**6)])
def test_a_cache_that_makes_no_sense_is_refused(ttl: str, max_mib: int) -> None:
    with pytest.raises(DefinitionError, match="cache"):
        fj.Cache(ttl, max_mib)
