"""Graphs are checked when they are made."""

from typing import Any

import pytest

from falaj.kernel.codec import from_json, to_json
from falaj.kernel.errors import DefinitionError
from falaj.pipelines.graph import Graph, Step


def _step(name: str, *needs: str, **fields: Any) -> Step:
    return Step(name=name, function="m:f", needs=needs, **fields)


def test_steps_come_after_what_they_need_whatever_the_order_given() -> None:
    graph = Graph("p", (_step("d", "b", "c"), _step("b", "a"), _step("c", "a"), _step("a")))
    order = [step.name for step in graph.ordered()]
    assert order[0] == "a"
    assert order[-1] == "d"


def test_a_circle_is_named() -> None:
    with pytest.raises(DefinitionError, match="in a circle: ") as error:
        Graph("p", (_step("a", "c"), _step("b", "a"), _step("c", "b")))
    assert {"a", "b", "c"} <= set(str(error.value).split("circle: ")[1].split(" -> "))


def test_a_step_may_not_need_itself() -> None:
    with pytest.raises(DefinitionError, match="a -> a"):
        Graph("p", (_step("a", "a"),))


def test_an_unknown_need_is_named_with_the_nearest_step() -> None:
    with pytest.raises(DefinitionError, match="needs 'trian', which is not a step") as error:
        Graph("p", (_step("train"), _step("gate", "trian")))
    assert error.value.hint == "did you mean 'train'?"


def test_two_steps_of_one_name_and_no_steps_are_refused() -> None:
    with pytest.raises(DefinitionError, match="two steps named 'a'"):
        Graph("p", (_step("a"), _step("a")))
    with pytest.raises(DefinitionError, match="has no steps"):
        Graph("p", ())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"retries": -1}, "retries"),
        ({"memory_bytes": 1 << 20}, "memory limit cannot hold in process"),
        ({"memory_bytes": 0, "executor": "child"}, "memory_bytes"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        _step("a", **fields)


@pytest.mark.parametrize("function", ["f", "m.f", "m:", ":f", "m:<lambda>", "m f:g"])
def test_functions_that_no_worker_could_import_are_refused(function: str) -> None:
    with pytest.raises(DefinitionError, match="is not importable"):
        Step(name="a", function=function)


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a b", ".hidden"])
def test_names_that_would_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="cannot be used"):
        _step(name)


def test_a_graph_survives_json() -> None:
    graph = Graph("p", (_step("a", params={"trees": 150}), _step("b", "a", executor="child", timeout_s=5.0)))
    assert from_json(to_json(graph), Graph) == graph
