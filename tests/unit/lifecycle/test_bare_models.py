"""Bare models: added, approved and deployed in whichever order, and away again."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from falaj.definitions.policy import Policy
from falaj.kernel.errors import Conflict, NotFound
from falaj.lifecycle.approving import ask_for_approval
from falaj.lifecycle.bare_models import add_bare, deploy_bare
from falaj.lifecycle.promotion import Promotions, roll_back_endpoint, withdraw_endpoint
from falaj.lifecycle.removal import remove_versions
from falaj.lifecycle.wishes import wishes
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import Alert, open_alert, resolve_alert
from falaj.rollout import table
from support.rooms_world import ADA, EVE, World, definitions, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path / "project", definitions()) as found:
        yield found


def add(world: World, scale: float = 1.0) -> ModelVersion:
    """Add a file that multiplies."""
    shape = onnx.TensorProto.FLOAT, ["n"]
    factor = onnx.helper.make_tensor("factor", onnx.TensorProto.FLOAT, [], [scale])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scale",
        [onnx.helper.make_tensor_value_info("x", *shape)],
        [onnx.helper.make_tensor_value_info("y", *shape)],
        [factor],
    )
    path = world.rooms.folder.parent / f"{scale}.onnx"
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return add_bare(world.rooms, ADA, "scale", path)


def approve(world: World, version: ModelVersion) -> None:
    (asked,) = [one for one in world.rooms.approvals.find(subject=version.subject) if one.state == "PENDING"]
    world.rooms.approvals.approve(asked.id, EVE)


def turn(world: World) -> None:
    Promotions(world.rooms).run_pass(world.clock.now())


def serving(world: World) -> list[int]:
    with world.rooms.db.read() as connection:
        route = table.current_route(connection, "scale")
    return [variant.version for variant in route.variants] if route else []


def wanted(world: World) -> list[int]:
    with world.rooms.db.read() as connection:
        return [one.version for one in wishes(connection)]


def test_an_added_file_asks_for_its_approval_at_once(world: World) -> None:
    version = add(world)
    approve(world, version)
    assert serving(world) == []  # nobody wanted it to serve
    assert deploy_bare(world.rooms, ADA, "scale", None).state == "serves"
    assert serving(world) == [1]


def test_deployed_before_it_is_approved_it_begins_with_the_approval(world: World) -> None:
    version = add(world)
    assert deploy_bare(world.rooms, ADA, "scale", None).waits
    turn(world)
    assert (serving(world), wanted(world)) == ([], [1])
    approve(world, version)
    turn(world)
    assert (serving(world), wanted(world)) == ([1], [])


def test_a_wish_that_was_met_or_refused_is_forgotten(world: World) -> None:
    first, second = add(world), add(world, 2.0)
    deploy_bare(world.rooms, ADA, "scale", 1)
    approve(world, first)
    turn(world)
    deploy_bare(world.rooms, ADA, "scale", 2)
    (asked,) = [one for one in world.rooms.approvals.find(subject=second.subject) if one.state == "PENDING"]
    world.rooms.approvals.reject(asked.id, EVE, "twice is too much")
    turn(world)
    assert (serving(world), wanted(world)) == ([1], [])
    with pytest.raises(Conflict, match="twice is too much"):
        deploy_bare(world.rooms, ADA, "scale", 2)


def test_an_undeployed_model_does_not_come_back_by_an_approval(world: World) -> None:
    first, second = add(world), add(world, 2.0)
    approve(world, first)
    deploy_bare(world.rooms, ADA, "scale", 1)
    deploy_bare(world.rooms, ADA, "scale", 2)
    withdraw_endpoint(world.rooms, "scale", ADA)
    approve(world, second)
    turn(world)
    assert serving(world) == []


def test_what_was_wanted_before_does_not_replace_what_was_deployed_since(world: World) -> None:
    first, second = add(world), add(world, 2.0)
    assert deploy_bare(world.rooms, ADA, "scale", 1).waits
    approve(world, second)
    assert deploy_bare(world.rooms, ADA, "scale", 2).state == "serves"
    assert world.pending() == []  # nobody is asked about the first any more; somebody approves it all the same
    ask_for_approval(world.rooms, first, "to serve scale")
    approve(world, first)
    turn(world)
    assert (serving(world), wanted(world)) == ([2], [])


def test_a_bare_model_waits_for_quiet_too(world: World) -> None:
    world.apply(definitions(policy=Policy(auto_promote=True, quiet=True)))
    add(world)
    with world.rooms.db.write() as connection:
        open_alert(connection, Alert("online_store", "critical", "online store", "it is away", {}, 0))
    assert deploy_bare(world.rooms, ADA, "scale", None).waits
    turn(world)
    assert (serving(world), wanted(world)) == ([], [1])
    with world.rooms.db.write() as connection:
        resolve_alert(connection, "online_store", "online store", "", 0)
    turn(world)
    assert (serving(world), wanted(world)) == ([1], [])


def test_a_policy_that_needs_nobody_asks_nobody(world: World) -> None:
    world.apply(definitions(policy=Policy(auto_promote=True)))
    version = add(world)
    assert world.rooms.approvals.find(subject=version.subject) == []
    assert deploy_bare(world.rooms, ADA, "scale", None).state == "serves"
    with pytest.raises(Conflict, match="serves"):
        deploy_bare(world.rooms, ADA, "scale", 1)


def test_all_of_a_model_goes_when_it_serves_no_more(world: World) -> None:
    world.apply(definitions(policy=Policy(auto_promote=True)))
    for scale in (1.0, 2.0):
        add(world, scale)
        deploy_bare(world.rooms, ADA, "scale", None)
    roll_back_endpoint(world.rooms, "scale", ADA, "wrong")
    withdraw_endpoint(world.rooms, "scale", ADA)
    assert remove_versions(world.rooms, ADA, "scale", None) == [1, 2]
    with pytest.raises(NotFound, match="there is no bare model 'scale'"):
        deploy_bare(world.rooms, ADA, "scale", None)
