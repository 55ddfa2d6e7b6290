"""Argo Workflows: a graph as a Workflow, or as a CronWorkflow where the pipeline has a schedule."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from falaj.definitions.schedule import check_schedule
from falaj.pipelines.exports.places import ARGO_DECISIONS, ARGO_INPUTS, ARGO_OUTPUTS, ARGO_PARTS, PARTS
from falaj.pipelines.exports.plan import (
    OUTPUTS,
    Decision,
    Exported,
    Exporting,
    Parameter,
    decisions_of,
    maybe_skipped,
    names_of,
    needs_of,
    portable_name,
    secrets_of,
)
from falaj.pipelines.exports.words import COMMAND, FAILED_FOR_GOOD, common_notes, words_of
from falaj.pipelines.exports.yaml_text import yaml_text
from falaj.pipelines.graph import Step

PLACE = "/tmp"  # noqa: S108 in a container of its own
"""Where inputs and outputs lie in a container."""
MADE_UP_S = 7 * 86_400
"""How long after its time a turn that was missed is made up for."""
_CARD = "nvidia.com/gpu"
_PART = "part"


def argo_export(exporting: Exporting) -> Exported:
    """Return a pipeline as Argo Workflows read it.

    Args:
        exporting: The pipeline, and where it is to run.
    """
    name = portable_name(exporting.pipeline.name)
    spec = _Templates(exporting).specification()
    if exporting.scheduled:
        document = {"kind": "CronWorkflow", "metadata": {"name": name}, "spec": _cron(exporting, spec)}
    else:
        document = {"kind": "Workflow", "metadata": {"generateName": f"{name}-"}, "spec": spec}
    text = yaml_text({"apiVersion": "argoproj.io/v1alpha1", **document})
    return Exported(text, tuple(_notes(exporting)))


class _Templates:
    """Collects the templates of a workflow."""

    def __init__(self, exporting: Exporting) -> None:
        self._exporting = exporting
        self._steps = exporting.graph.ordered()
        self._names = names_of(exporting.graph)
        self._maybe = maybe_skipped(exporting.graph)
        decisions = [one for step in self._steps for one in decisions_of(step)]
        self._made_by = {step.name: [one for one in decisions if one.maker == step.name] for step in self._steps}
        self._alone = [one for one in decisions if not one.maker]
        self._templates: list[dict[str, Any]] = []
        self._tasks: list[dict[str, Any]] = []

    def specification(self) -> dict[str, Any]:
        """Return the workflow's specification."""
        self._templates.append({"name": "main", "dag": {"tasks": self._tasks}})
        for decision in self._alone:
            self._add_decider(decision)
        for step in self._steps:
            (self._add_mapped if step.mapped else self._add_step)(step)
        spec: dict[str, Any] = {"entrypoint": "main", "templates": self._templates}
        if self._exporting.parameters:
            spec["arguments"] = {"parameters": [_parameter(one) for one in self._exporting.parameters]}
        return spec

    def _decider(self, decision: Decision) -> str:
        return f"{'decide' if decision.kind == 'go' else 'list'}-{self._names[decision.step]}"

    def _value(self, decision: Decision) -> str:
        task = self._names[decision.maker] if decision.maker else self._decider(decision)
        return f"{{{{tasks.{task}.outputs.parameters.{decision.key(self._names)}}}}}"

    def _add_decider(self, decision: Decision) -> None:
        name = self._decider(decision)
        (step,) = [one for one in self._steps if one.name == decision.step]
        template = self._container(name, "decide", step, [decision], artifact=False)
        template["inputs"] = {"artifacts": [self._input(need) for need in decision.needs]}
        self._templates.append(_full(template))
        task: dict[str, Any] = {"name": name, "template": name, "arguments": self._given(decision.needs)}
        self._tasks.append(_full(task | self._depends(decision.needs)))

    def _add_step(self, step: Step) -> None:
        name, needs = self._names[step.name], needs_of(step)
        template = self._container(name, "run", step, self._made_by[step.name])
        template["inputs"] = {"artifacts": [self._input(n, optional=n in needs.optional) for n in needs.given]}
        self._templates.append(_full(template))
        self._add_task(step, self._given(needs.required, needs.optional))

    def _add_task(self, step: Step, arguments: dict[str, Any]) -> None:
        needs, decisions = needs_of(step), decisions_of(step)
        alone = [self._decider(one) for one in decisions if not one.maker]
        task = {"name": self._names[step.name], "template": self._names[step.name], "arguments": arguments}
        task |= self._depends(needs.required, (*needs.optional, *needs.order), alone)
        for one in decisions:
            if one.kind == "go":
                task["when"] = f"{self._value(one)} == true"
        self._tasks.append(_full(task))

    def _add_mapped(self, step: Step) -> None:
        name, needs, made = self._names[step.name], needs_of(step), self._made_by[step.name]
        inputs = [self._input(n, optional=n in needs.optional, path=False) for n in needs.given]
        part = self._container(f"{name}-part", "part", step, [])
        part["container"]["args"].append(f"--part={{{{inputs.parameters.{_PART}}}}}")
        part["inputs"] = {
            "parameters": [{"name": _PART}],
            "artifacts": [self._input(n, optional=n in needs.optional) for n in needs.given],
        }
        key = f"falaj/{{{{workflow.uid}}}}/{name}/{PARTS}"
        part["outputs"]["artifacts"][0]["s3"] = {"key": f"{key}/{{{{inputs.parameters.{_PART}}}}}"}
        gather = self._container(f"{name}-gather", "gather", step, made)
        gather["inputs"] = {"artifacts": [{"name": PARTS, "path": f"{PLACE}/{ARGO_PARTS}", "s3": {"key": key}}]}
        given = [{**one, "from": f"{{{{inputs.artifacts.{one['name']}}}}}"} for one in inputs]
        each = {
            "name": "each",
            "template": part["name"],
            "withParam": "{{inputs.parameters.parts}}",
            "arguments": {"parameters": [{"name": _PART, "value": "{{item}}"}], "artifacts": given},
        }
        tasks = [_full(each), {"name": "gather", "template": gather["name"], "depends": "each.Succeeded"}]
        whole = {
            "name": name,
            "inputs": {"parameters": [{"name": "parts"}], "artifacts": inputs},
            "dag": {"tasks": tasks},
            "outputs": self._outputs_of("gather", made),
        }
        self._templates += [_full(whole), _full(part), _full(gather)]
        (parts,) = [one for one in decisions_of(step) if one.kind == "parts"]
        arguments = self._given(needs.required, needs.optional)
        self._add_task(step, {"parameters": [{"name": "parts", "value": self._value(parts)}], **arguments})

    def _outputs_of(self, task: str, made: Sequence[Decision]) -> dict[str, Any]:
        keys = [one.key(self._names) for one in made]
        artifact = {"name": OUTPUTS, "from": f"{{{{tasks.{task}.outputs.artifacts.{OUTPUTS}}}}}"}
        values = [
            {"name": key, "valueFrom": {"parameter": f"{{{{tasks.{task}.outputs.parameters.{key}}}}}"}} for key in keys
        ]
        return _full({"artifacts": [artifact], "parameters": values})

    def _input(self, need: str, *, optional: bool = False, path: bool = True) -> dict[str, Any]:
        name = self._names[need]
        found: dict[str, Any] = {"name": name}
        if path:
            found["path"] = f"{PLACE}/{ARGO_INPUTS}/{name}"
        if optional:
            found["optional"] = True
        return found

    def _given(self, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
        artifacts = [self._passed(name) for name in required]
        artifacts += [{**self._passed(name), "optional": True} for name in optional]
        return {"artifacts": artifacts} if artifacts else {}

    def _passed(self, need: str) -> dict[str, Any]:
        name = self._names[need]
        return {"name": name, "from": f"{{{{tasks.{name}.outputs.artifacts.{OUTPUTS}}}}}"}

    def _depends(
        self, required: Sequence[str], others: Sequence[str] = (), alone: Sequence[str] = ()
    ) -> dict[str, str]:
        terms = [f"{self._names[name]}.Succeeded" for name in required] + [f"{name}.Succeeded" for name in alone]
        for other in others:
            name = self._names[other]
            ends = ("Succeeded", "Skipped", "Omitted") if other in self._maybe else ("Succeeded",)
            together = " || ".join(f"{name}.{end}" for end in ends)
            terms.append(f"({together})" if len(ends) > 1 else together)
        return {"depends": " && ".join(terms)} if terms else {}

    def _container(
        self, name: str, work: str, step: Step, made: Sequence[Decision], *, artifact: bool = True
    ) -> dict[str, Any]:
        exporting = self._exporting
        words = [*words_of(exporting, "argo", work, step, made), "--run={{workflow.uid}}", f"--at={PLACE}"]
        given = [f"{one.name}={{{{workflow.parameters.{one.name}}}}}" for one in exporting.parameters]
        words += ["--param", *given] if given else []
        if exporting.scheduled and exporting.pipeline.at:
            pipeline = exporting.pipeline
            words += [f"--instant={pipeline.at}={{{{workflow.scheduledTime}}}}", f"--time-zone={pipeline.time_zone}"]
        container: dict[str, Any] = {"image": exporting.image, "command": COMMAND, "args": words}
        template: dict[str, Any] = {"name": name, "container": container}
        if work in ("run", "part"):
            container |= _full({"resources": _resources(step), "env": _environment(exporting.secret, step)})
            template |= _policy(step)
        keys = [one.key(self._names) for one in made]
        outputs = [{"name": OUTPUTS, "path": f"{PLACE}/{ARGO_OUTPUTS}", "archive": {"none": {}}}] if artifact else []
        values = [{"name": key, "valueFrom": {"path": f"{PLACE}/{ARGO_DECISIONS}/{key}"}} for key in keys]
        template["outputs"] = _full({"artifacts": outputs, "parameters": values})
        return template


def _full(found: dict[str, Any]) -> dict[str, Any]:
    """Return what says something: Argo's own schema refuses null, and empty lists only lengthen the text."""
    kept = {key: value for key, value in found.items() if value not in (None, [], {})}
    if "inputs" in kept:
        kept["inputs"] = {key: value for key, value in kept["inputs"].items() if value}
    return {key: value for key, value in kept.items() if value != {}}


def _policy(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if step.timeout_s is not None:
        found["activeDeadlineSeconds"] = str(max(1, round(step.timeout_s)))
    if step.retries:
        found["retryStrategy"] = {
            "limit": str(step.retries),
            "retryPolicy": "Always",
            "expression": f"lastRetry.exitCode != '{FAILED_FOR_GOOD}'",
        }
        if step.retry_delay_s:
            found["retryStrategy"]["backoff"] = {"duration": f"{step.retry_delay_s:g}s", "factor": "2"}
    return found


def _resources(step: Step) -> dict[str, Any]:
    requests: dict[str, Any] = {"cpu": f"{step.cpu:g}"}
    limits: dict[str, Any] = {}
    if step.memory_bytes is not None:
        requests["memory"] = limits["memory"] = str(step.memory_bytes)
    if step.gpu:
        limits[_CARD] = str(step.gpu)
    return _full({"requests": requests, "limits": limits})


def _environment(secret: str, step: Step) -> list[dict[str, Any]]:
    return [{"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}} for name in secrets_of(step)]


def _parameter(one: Parameter) -> dict[str, str]:
    return {"name": one.name, "value": one.value if isinstance(one.value, str) else json.dumps(one.value)}


def _cron(exporting: Exporting, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "schedules": [check_schedule(exporting.pipeline.schedule)],
        "timezone": exporting.pipeline.time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": MADE_UP_S,
        "workflowSpec": spec,
    }


def _notes(exporting: Exporting) -> list[str]:
    notes = common_notes(exporting, "Argo")
    pipeline = exporting.pipeline
    if pipeline.schedule and not exporting.scheduled:
        notes.append(f"schedule: this is one run, as {pipeline.at!r} is given; leave it out for a CronWorkflow")
    if exporting.scheduled:
        notes.append("schedule: a turn is left out, and not made up for, while the one before it still runs")
    if exporting.scheduled and pipeline.time_zone != "UTC":
        notes.append(f"schedule: Argo leaves out a time that a change of clocks in {pipeline.time_zone} skips")
    notes.append("results: every step is done anew in every run")
    return notes
