"""Exports: where conditions stand, what is decided by whom, and what both platforms are told."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.pipeline import Pipeline
from falaj.definitions.wire import steps_in
from falaj.kernel.errors import InputError
from falaj.pipelines.exports.argo import argo_export
from falaj.pipelines.exports.conditions import common, conditions_of
from falaj.pipelines.exports.kubeflow import kubeflow_export
from falaj.pipelines.exports.plan import Exporting, Parameter, decisions_of, maybe_skipped, names_of, needs_of, shape_of
from falaj.pipelines.graph import Graph, Step


def wire(step: str, *path: str | int) -> dict[str, Any]:
    return {"$step": step, "$path": list(path)}


def step(name: str, *needs: str, **more: Any) -> Step:
    """A step that is given what others give, each under its own name."""
    arguments = {need: wire(need) for need in needs}
    when = more.get("when")
    order = more.pop("after", ())
    asked = list(steps_in(when))
    return Step(
        name=name,
        function=f"etl:{name}",
        needs=tuple(dict.fromkeys([*needs, *asked, *order])),
        arguments=arguments | more.pop("given", {}),
        **more,
    )


def exporting(*steps: Step, **more: Any) -> Exporting:
    pipeline = Pipeline("nightly", "etl:nightly", **more.pop("options", {}))
    return Exporting(pipeline=pipeline, graph=Graph("nightly", steps), **{"image": "shop:1", **more})


def specification(*steps: Step, **more: Any) -> dict[str, Any]:
    return next(yaml.safe_load_all(kubeflow_export(exporting(*steps, **more)).text))


def templates(*steps: Step, **more: Any) -> dict[str, Any]:
    document = yaml.safe_load(argo_export(exporting(*steps, **more)).text)
    return {one["name"]: one for one in document["spec"]["templates"]}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Steps with conditions, values that may be absent, and mere order."""
    steps: list[Step] = []
    for at in range(draw(st.integers(1, 9))):
        before = [one.name for one in steps]
        some = st.lists(st.sampled_from(before or [""]), unique=True, max_size=3 if before else 0)
        needs = draw(some)
        asks = draw(st.booleans())
        sides = [wire(draw(st.sampled_from(before))) for _ in range(2)] if before and asks else []
        when = {"$compare": "<", "left": sides[0], "right": sides[1]} if sides else None
        mapped = tuple(name for name in needs if draw(st.booleans()))
        optional = tuple(name for name in needs if name not in mapped and draw(st.booleans()))
        steps.append(step(f"s{at}", *needs, when=when, optional=optional, mapped=mapped, after=draw(some)))
    return Graph("p", tuple(steps))


def skipped_here(graph: Graph, holds: dict[str, bool]) -> set[str]:
    """The steps that a run of ours skips."""
    found: set[str] = set()
    for one in graph.ordered():
        if any(name in found for name in needs_of(one).required) or (one.when is not None and not holds[one.name]):
            found.add(one.name)
    return found


@settings(deadline=None)
@given(graphs(), st.data())
def test_conditions_that_enclose_skip_what_we_skip(graph: Graph, data: st.DataObject) -> None:
    """Nothing asks for what is inside a condition that it is not in itself, so all that is asked for is there."""
    holds = {one.name: data.draw(st.booleans()) for one in graph.steps}
    chains, inside = conditions_of(graph)
    for one in graph.steps:
        for need in needs_of(one).given:
            assert common(chains[need], chains[one.name]) == len(chains[need])
        assert (one.name in chains[one.name]) == (one.when is not None and one.name not in inside)
    skipped: set[str] = set()
    for one in graph.ordered():
        left_out = not all(holds[name] for name in chains[one.name])
        itself = one.when is not None and not holds[one.name]  # its own container looks again
        if left_out or itself or any(name in skipped for name in needs_of(one).required):
            skipped.add(one.name)
    assert skipped == skipped_here(graph, holds)
    assert skipped <= maybe_skipped(graph)


@settings(deadline=None, max_examples=40)
@given(graphs())
def test_every_reference_of_a_specification_is_there(graph: Graph) -> None:
    """Whatever a task takes comes from a task beside it that it waits for, or from what its graph is given."""
    made = yaml.safe_load(kubeflow_export(Exporting(pipeline=Pipeline("p", "m:p"), graph=graph, image="i")).text)
    dags = [(made["root"]["dag"], made["root"].get("inputDefinitions", {}))]
    dags += [(one["dag"], one.get("inputDefinitions", {})) for one in made["components"].values() if "dag" in one]
    seen = [name for dag, _ in dags for name in dag["tasks"]]
    assert len(seen) == len(set(seen))
    for dag, inputs in dags:
        for name, task in dag["tasks"].items():
            for kind, source in references(task):
                if "producerTask" in source:
                    assert source["producerTask"] in dag["tasks"]
                    assert source["producerTask"] in task["dependentTasks"]
                else:
                    assert source["given"] in inputs[kind]
            assert set(task.get("dependentTasks", [])) <= set(dag["tasks"]) - {name}
            component = made["components"][task["componentRef"]["name"]]
            item = {task["parameterIterator"]["itemInput"]} if "parameterIterator" in task else set()
            wanted = {kind: set(names) - item for kind, names in component.get("inputDefinitions", {}).items()}
            assert {kind: set(names) for kind, names in task.get("inputs", {}).items()} == {
                kind: names for kind, names in wanted.items() if names
            }


@settings(deadline=None, max_examples=40)
@given(graphs())
def test_every_reference_of_a_workflow_is_there(graph: Graph) -> None:
    """Whatever a task of Argo's takes is an output of a task that it waits for, and what its template asks for."""
    document = yaml.safe_load(argo_export(Exporting(pipeline=Pipeline("p", "m:p"), graph=graph, image="i")).text)
    found = {one["name"]: one for one in document["spec"]["templates"]}
    assert len(found) == len(document["spec"]["templates"])
    tasks = {task["name"]: task for task in found["main"]["dag"]["tasks"]}
    for name, task in tasks.items():
        waits = set(re.findall(r"([\w-]+)\.(?:Succeeded|Skipped|Omitted)", task.get("depends", "")))
        assert waits <= set(tasks) - {name}
        told = str(task.get("arguments", {})) + task.get("when", "")
        for other, kind, key in re.findall(r"\{\{tasks\.([\w-]+)\.outputs\.(\w+)\.([\w-]+)\}\}", told):
            assert other in waits
            assert key in names(found[tasks[other]["template"]]["outputs"], kind)
        for kind in ("artifacts", "parameters"):
            given_here = names(task.get("arguments", {}), kind)
            assert given_here == names(found[task["template"]].get("inputs", {}), kind)


def names(said: dict[str, Any], kind: str) -> set[str]:
    return {one["name"] for one in said.get(kind, [])}


def references(task: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, inputs in task.get("inputs", {}).items():
        for source in inputs.values():
            ((way, found),) = source.items()
            yield kind, found if way.startswith("taskOutput") else {"given": found}


def test_a_condition_encloses_what_is_skipped_with_it() -> None:
    graph = [step("test"), step("tell", when=wire("test")), step("told", "tell"), step("log", after=("told",))]
    made = specification(*graph)
    assert set(made["root"]["dag"]["tasks"]) == {"test", "if-tell", "log"}
    condition = made["root"]["dag"]["tasks"]["if-tell"]["triggerPolicy"]["condition"]
    assert condition == "inputs.parameter_values['pipelinechannel--test--go-tell'] == 'true'"
    assert set(made["components"]["comp-if-tell"]["dag"]["tasks"]) == {"tell", "told"}
    assert made["root"]["dag"]["tasks"]["log"]["dependentTasks"] == ["if-tell"]


def test_a_step_whose_absence_others_bear_decides_in_its_own_container() -> None:
    graph = [step("test"), step("tell", when=wire("test")), step("log", "tell", optional=("tell",))]
    made = kubeflow_export(exporting(*graph))
    assert set(next(yaml.safe_load_all(made.text))["root"]["dag"]["tasks"]) == {"test", "tell", "log"}
    assert [note for note in made.notes if note.startswith("conditions: the container of tell is started")]
    tasks = {one["name"]: one for one in templates(*graph)["main"]["dag"]["tasks"]}
    assert tasks["tell"]["when"] == "{{tasks.test.outputs.parameters.go-tell}} == true"
    assert tasks["log"]["depends"] == "(tell.Succeeded || tell.Skipped || tell.Omitted)"
    assert tasks["log"]["arguments"]["artifacts"][0]["optional"] is True


def test_a_condition_on_two_steps_takes_a_container_that_decides() -> None:
    when = {"$compare": ">", "left": wire("a"), "right": wire("b", "auc")}
    one = Step(name="c", function="etl:c", needs=("a", "b"), arguments={}, when=when)
    assert [decision.maker for decision in decisions_of(one)] == [""]
    made = specification(step("a"), step("b"), one)
    assert set(made["root"]["dag"]["tasks"]) == {"a", "b", "decide-c", "if-c"}
    assert made["root"]["dag"]["tasks"]["if-c"]["dependentTasks"] == ["a", "b", "decide-c"]
    tasks = {task["name"]: task for task in templates(step("a"), step("b"), one)["main"]["dag"]["tasks"]}
    assert tasks["c"]["depends"] == "a.Succeeded && b.Succeeded && decide-c.Succeeded"


def test_a_map_becomes_a_loop_and_one_that_gathers() -> None:
    graph = [step("parts"), step("one", "parts", mapped=("parts",)), step("all", "one")]
    made = specification(*graph)
    inner = made["components"]["comp-one"]["dag"]["tasks"]
    assert inner["one-each"]["parameterIterator"]["items"]["inputParameter"] == "pipelinechannel--parts--parts-one"
    assert inner["one-gather"]["dependentTasks"] == ["one-each"]
    found = templates(*graph)
    each, gather = found["one"]["dag"]["tasks"]
    assert each["withParam"] == "{{inputs.parameters.parts}}"
    assert gather["depends"] == "each.Succeeded"
    part = found["one-part"]["outputs"]["artifacts"][0]
    assert part["s3"]["key"].startswith(found["one-gather"]["inputs"]["artifacts"][0]["s3"]["key"])


def test_retries_times_resources_and_secrets() -> None:
    one = step(
        "load",
        given={"key": {"$secret": "API_KEY"}},
        retries=3,
        retry_delay_s=10.0,
        timeout_s=90.0,
        cpu=2.0,
        memory_bytes=2**30,
        gpu=1,
        executor="project",
    )
    made = specification(one)
    assert made["root"]["dag"]["tasks"]["load"]["retryPolicy"] == {
        "maxRetryCount": 3,
        "backoffDuration": "10s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "40s",
    }
    container = made["deploymentSpec"]["executors"]["exec-load"]["container"]
    assert "--timeout-s=90" in container["args"]
    assert container["resources"]["resourceMemoryLimit"] == str(2**30)
    assert container["resources"]["accelerator"]["resourceCount"] == "1"
    template = templates(one, secret="keys")["load"]
    assert template["activeDeadlineSeconds"] == "90"
    assert template["retryStrategy"]["backoff"] == {"duration": "10s", "factor": "2"}
    assert template["retryStrategy"]["expression"] == "lastRetry.exitCode != '3'"
    assert template["container"]["env"] == [
        {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "API_KEY"}}}
    ]
    assert template["container"]["resources"]["limits"] == {"memory": str(2**30), "nvidia.com/gpu": "1"}


def test_results_are_taken_again_only_where_nothing_else_can_have_changed() -> None:
    steps = [step("load"), step("roll", cache=False), step("read", given={"file": {"$file": "a.csv"}})]
    pinned = specification(*steps, image="shop@sha256:0a")["root"]["dag"]["tasks"]
    assert {name: task["cachingOptions"] for name, task in pinned.items()} == {
        "load": {"enableCache": True},
        "roll": {},
        "read": {},
    }
    assert specification(*steps)["root"]["dag"]["tasks"]["load"]["cachingOptions"] == {}


def test_a_schedule_becomes_a_cron_workflow() -> None:
    options = {"schedule": "daily", "time_zone": "Europe/Berlin", "at": "day"}
    made = argo_export(exporting(step("load"), options=options, scheduled=True))
    document = yaml.safe_load(made.text)
    assert (document["kind"], document["spec"]["schedules"]) == ("CronWorkflow", ["0 0 * * *"])
    assert (document["spec"]["timezone"], document["spec"]["concurrencyPolicy"]) == ("Europe/Berlin", "Forbid")
    args = document["spec"]["workflowSpec"]["templates"][1]["container"]["args"]
    assert args[-2:] == ["--instant=day={{workflow.scheduledTime}}", "--time-zone=Europe/Berlin"]
    assert [note for note in made.notes if "change of clocks in Europe/Berlin" in note]


def test_what_is_not_carried_is_said() -> None:
    options = {"schedule": "daily", "notify": ("failure", "success")}
    far = step("load", executor="ray")
    notes = " ".join(kubeflow_export(exporting(far, options=options, contexts=("load",))).notes)
    for words in (
        "load is done in a container of its own, and not on Ray",
        "nobody of failure or success",
        "recurring run",
        "no checkpoint of an earlier attempt",
        "done anew",
    ):
        assert words in notes


def test_parameters_keep_their_types() -> None:
    parameters = (Parameter("day", "string", "2026-01-31"), Parameter("trees", "integer", 10))
    made = specification(step("load"), parameters=parameters)
    assert made["root"]["inputDefinitions"]["parameters"]["trees"] == {
        "parameterType": "NUMBER_INTEGER",
        "defaultValue": 10,
        "isOptional": True,
    }
    args = templates(step("load"), parameters=parameters)["load"]["container"]["args"]
    assert args[-3:] == ["--param", "day={{workflow.parameters.day}}", "trees={{workflow.parameters.trees}}"]


def test_names_that_would_meet_are_told_apart() -> None:
    graph = Graph("p", (step("one"), step("One"), step("one_gather"), step("main")))
    assert names_of(graph) == {"one": "one", "One": "one-2", "one_gather": "one-gather-2", "main": "main-2"}


def test_the_shape_is_that_of_the_wires_and_not_of_values() -> None:
    some = Graph("p", (step("a"), step("b", "a", given={"n": 1})))
    assert shape_of(some) == shape_of(Graph("p", (step("a"), step("b", "a", given={"n": 2}))))
    assert shape_of(some) != shape_of(Graph("p", (step("a"), step("b", given={"n": 1}))))


def test_an_image_has_a_name() -> None:
    with pytest.raises(InputError, match="image '' is none"):
        exporting(step("a"), image="")
