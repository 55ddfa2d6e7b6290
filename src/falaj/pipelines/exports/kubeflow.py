"""Kubeflow Pipelines: a graph as a pipeline specification of its second version, in YAML.

It is written as https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto says, without `kfp`.
"""

from collections.abc import Sequence
from typing import Any

from falaj.pipelines.exports.conditions import Chain, common, conditions_of
from falaj.pipelines.exports.containers import Containers
from falaj.pipelines.exports.dag import ARTIFACT, Chosen, Dag, definitions
from falaj.pipelines.exports.places import PART, PARTS
from falaj.pipelines.exports.plan import (
    OUTPUTS,
    Decision,
    Exported,
    Exporting,
    Parameter,
    decisions_of,
    names_of,
    needs_of,
    portable_name,
)
from falaj.pipelines.exports.words import common_notes
from falaj.pipelines.exports.yaml_text import yaml_text
from falaj.pipelines.graph import Step

_KINDS = {
    "string": "STRING", "integer": "NUMBER_INTEGER", "number": "NUMBER_DOUBLE", "boolean": "BOOLEAN", "list": "LIST",
    "object": "STRUCT",
}  # fmt: skip
_DECISIONS = {"go": "STRING", "parts": "LIST"}


def kubeflow_export(exporting: Exporting) -> Exported:
    """Return a pipeline as Kubeflow Pipelines read it.

    Args:
        exporting: The pipeline, and where it is to run.
    """
    made = _Specification(exporting)
    documents = [made.document()]
    if made.containers.secrets:
        executors = {"executors": made.containers.secrets}
        documents.append({"platforms": {"kubernetes": {"deploymentSpec": executors}}})
    return Exported(yaml_text(*documents), tuple(_notes(exporting, made.inside)))


class _Specification:
    """Collects the parts of a specification."""

    def __init__(self, exporting: Exporting) -> None:
        self._exporting = exporting
        self._steps = {step.name: step for step in exporting.graph.ordered()}
        self._names = names_of(exporting.graph)
        self._chains, self.inside = conditions_of(exporting.graph)
        self._parameters = {one.name: _KINDS[one.kind] for one in exporting.parameters}
        self._components: dict[str, Any] = {}
        self.containers = Containers(exporting)
        decisions = [one for step in self._steps.values() for one in decisions_of(step) if self._is_asked(one)]
        self._made_by = {name: [one for one in decisions if one.maker == name] for name in self._steps}
        self._alone = [one for one in decisions if not one.maker]
        chains = {chain[:length] for chain in self._chains.values() for length in range(len(chain) + 1)}
        self._dags = {chain: Dag(self._members(chain), self._parameters) for chain in {(), *chains}}

    def document(self) -> dict[str, Any]:
        """Return the pipeline's specification."""
        for decision in self._alone:
            self._add_decider(decision)
        for step in self._steps.values():
            (self._add_mapped if step.mapped else self._add_step)(step)
        for chain in sorted(self._dags, key=len, reverse=True):
            if chain:
                self._add_condition(chain)
        self._add_order()
        root: dict[str, Any] = {"dag": {"tasks": self._dags[()].tasks}}
        if self._parameters:
            root["inputDefinitions"] = {"parameters": {one.name: _parameter(one) for one in self._exporting.parameters}}
        return {
            "pipelineInfo": {"name": portable_name(self._exporting.pipeline.name)},
            "components": self._components,
            "deploymentSpec": {"executors": self.containers.executors},
            "root": root,
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
        }

    def _is_asked(self, decision: Decision) -> bool:
        return decision.kind == "parts" or decision.step not in self.inside

    def _members(self, chain: Chain) -> set[str]:
        steps = {self._names[name] for name, one in self._chains.items() if one == chain}
        return steps | {self._decider(one) for one in self._alone if self._chain(one) == chain}

    def _chain(self, decision: Decision) -> Chain:
        """Return where the container stands that only decides: for a condition, outside of it."""
        chain = self._chains[decision.step]
        return chain[:-1] if decision.kind == "go" else chain

    def _decider(self, decision: Decision) -> str:
        return f"{'decide' if decision.kind == 'go' else 'list'}-{self._names[decision.step]}"

    def _chosen(self, decision: Decision) -> Chosen:
        task = self._names[decision.maker] if decision.maker else self._decider(decision)
        return Chosen(task, decision.key(self._names), _DECISIONS[decision.kind])

    def _outputs(self, decisions: Sequence[Decision], *, artifact: bool = True) -> dict[str, Any]:
        parameters = {one.key(self._names): {"parameterType": _DECISIONS[one.kind]} for one in decisions}
        found = {"artifacts": {OUTPUTS: ARTIFACT} if artifact else {}, "parameters": parameters}
        return {kind: one for kind, one in found.items() if one}

    def _add_container(self, name: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
        component = {"executorLabel": f"exec-{name}", "inputDefinitions": inputs, "outputDefinitions": outputs}
        self._components[f"comp-{name}"] = {key: one for key, one in component.items() if one}
        return f"comp-{name}"

    def _add_decider(self, decision: Decision) -> None:
        name, dag = self._decider(decision), self._dags[self._chain(decision)]
        needs = [self._names[need] for need in decision.needs]
        outputs = self._outputs([decision], artifact=False)
        component = self._add_container(name, definitions(needs, self._parameters), outputs)
        self.containers.add(name, "decide", self._steps[decision.step], [decision])
        dag.add(name, component, dag.inputs(needs))

    def _add_step(self, step: Step) -> None:
        name, dag = self._names[step.name], self._dags[self._chains[step.name]]
        needs = [self._names[need] for need in needs_of(step).given]
        made = self._made_by[step.name]
        component = self._add_container(name, definitions(needs, self._parameters), self._outputs(made))
        self.containers.add(name, "run", step, made)
        dag.add(name, component, dag.inputs(needs), **self.containers.policy(step))

    def _add_mapped(self, step: Step) -> None:
        name, dag, made = self._names[step.name], self._dags[self._chains[step.name]], self._made_by[step.name]
        each, part, gather = f"{name}-each", f"{name}-part", f"{name}-gather"
        (parts,) = [self._chosen(one) for one in decisions_of(step) if one.kind == "parts"]
        inner, loop = Dag({each, gather}, self._parameters), Dag({part}, self._parameters | {PART: "NUMBER_INTEGER"})
        needs = [self._names[need] for need in needs_of(step).given]
        taken = definitions(needs, self._parameters | {PART: "NUMBER_INTEGER"})
        component = self._add_container(part, taken, self._outputs([]))
        self.containers.add(part, "part", step, [])
        loop.add(part, component, loop.inputs(needs), **self.containers.policy(step))
        given = inner.inputs_of(loop, [parts])
        inner.add(each, self._add_dag(each, loop, part, [], [parts], lists=True), given, **_loop(parts))
        gathered = self._add_container(gather, definitions([PARTS], self._parameters, lists=True), self._outputs(made))
        self.containers.add(gather, "gather", step, made)
        given = inner.inputs([each])
        given["artifacts"] = {PARTS: given["artifacts"][each]}
        inner.add(gather, gathered, given)
        inner.depend(gather, each)
        dag.add(name, self._add_dag(name, inner, gather, made), dag.inputs_of(inner))

    def _add_dag(
        self,
        name: str,
        dag: Dag,
        last: str,
        made: Sequence[Decision],
        chosen: Sequence[Chosen] = (),
        *,
        lists: bool = False,
    ) -> str:
        """Add a graph that gives what its last task gives."""
        selector = {"producerSubtask": last, "outputArtifactKey": OUTPUTS}
        given: dict[str, Any] = {"artifacts": {OUTPUTS: {"artifactSelectors": [selector]}}}
        keys = [one.key(self._names) for one in made]
        values = {key: {"valueFromParameter": {"producerSubtask": last, "outputParameterKey": key}} for key in keys}
        if values:
            given["parameters"] = values
        outputs = self._outputs(made)
        if lists:
            outputs["artifacts"] = {OUTPUTS: {**ARTIFACT, "isArtifactList": True}}
        self._components[f"comp-{name}"] = {
            "dag": {"tasks": dag.tasks, "outputs": given},
            "inputDefinitions": dag.definitions(chosen),
            "outputDefinitions": outputs,
        }
        return f"comp-{name}"

    def _add_condition(self, chain: Chain) -> None:
        name, inner, outer = f"if-{self._names[chain[-1]]}", self._dags[chain], self._dags[chain[:-1]]
        (go,) = [self._chosen(one) for one in decisions_of(self._steps[chain[-1]]) if one.kind == "go"]
        self._components[f"comp-{name}"] = {"dag": {"tasks": inner.tasks}, "inputDefinitions": inner.definitions([go])}
        condition = f"inputs.parameter_values['{go.name}'] == 'true'"
        outer.add(name, f"comp-{name}", outer.inputs_of(inner, [go]), triggerPolicy={"condition": condition})

    def _add_order(self) -> None:
        for step in self._steps.values():
            for need in step.needs:
                self._wait(self._chains[step.name], self._names[step.name], self._chains[need], self._names[need])
        for one in self._alone:
            chain, name = self._chain(one), self._decider(one)
            self._wait(self._chains[one.step], self._names[one.step], chain, name)
            for need in one.needs:
                self._wait(chain, name, self._chains[need], self._names[need])

    def _wait(self, chain: Chain, task: str, other_chain: Chain, other: str) -> None:
        """Let a task wait for another; where conditions enclose them, what encloses the one waits for the other."""
        shared = common(chain, other_chain)
        here, there = (
            name if len(one) == shared else f"if-{self._names[one[shared]]}"
            for one, name in ((chain, task), (other_chain, other))
        )
        if here != there:
            self._dags[chain[:shared]].depend(here, there)


def _loop(parts: Chosen) -> dict[str, Any]:
    return {"parameterIterator": {"itemInput": PART, "items": {"inputParameter": parts.name}}}


def _parameter(one: Parameter) -> dict[str, Any]:
    return {"parameterType": _KINDS[one.kind], "defaultValue": one.value, "isOptional": True}


def _notes(exporting: Exporting, inside: frozenset[str]) -> list[str]:
    notes = common_notes(exporting, "Kubeflow")
    pipeline = exporting.pipeline
    if pipeline.schedule:
        when = f"{pipeline.schedule!r} in {pipeline.time_zone}"
        notes.append(f"schedule: {when} is no part of what was written; make a recurring run of it")
    if inside:
        notes.append(
            f"conditions: the container of {', '.join(sorted(inside))} is started to see whether it is wanted, as "
            "something goes on without it"
        )
    if "@sha256:" not in exporting.image:
        notes.append(
            "results: every step is done anew in every run; Kubeflow may reuse them if the image is named by its digest"
        )
    return notes
