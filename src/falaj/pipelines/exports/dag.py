"""A graph within a pipeline specification: its tasks, and what must be handed down to it from outside."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from falaj.pipelines.exports.plan import OUTPUTS

ARTIFACT = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}


class Chosen(NamedTuple):
    """A decision as a parameter.

    Attributes:
        task: The task that makes it.
        key: Its output's name.
        kind: Its type.
    """

    task: str
    key: str
    kind: str

    @property
    def name(self) -> str:
        """What it is called where it is an input; Kubeflow's local runner takes the name apart."""
        return f"pipelinechannel--{self.task}--{self.key}"


class Dag:
    """Tasks, and the inputs that they need from outside.

    Args:
        members: Names of its tasks.
        parameters: The run's parameters, with their types: each task is given all of them.
    """

    def __init__(self, members: Iterable[str], parameters: dict[str, str]) -> None:
        self.members = set(members)
        self.tasks: dict[str, Any] = {}
        self._run = parameters
        self._artifacts: dict[str, None] = {}
        self._chosen: dict[str, Chosen] = {}

    def inputs(self, artifacts: Sequence[str] = (), chosen: Sequence[Chosen] = ()) -> dict[str, Any]:
        """Return a task's inputs: what other tasks gave, decisions, and the run's parameters.

        Args:
            artifacts: Names of the tasks that gave them.
            chosen: The decisions.
        """
        parameters: dict[str, Any] = {name: {"componentInputParameter": name} for name in self._run}
        return {
            "artifacts": {task: self._artifact(task) for task in artifacts},
            "parameters": parameters | {one.name: self._decision(one) for one in chosen},
        }

    def inputs_of(self, inner: "Dag", chosen: Sequence[Chosen] = ()) -> dict[str, Any]:
        """Return the inputs of a task that is a graph itself.

        Args:
            inner: The graph, with all its tasks.
            chosen: Decisions about the task, besides those that are needed inside.
        """
        return self.inputs(list(inner._artifacts), [*inner._chosen.values(), *chosen])

    def add(self, name: str, component: str, inputs: dict[str, Any], **more: Any) -> None:
        """Add a task.

        Args:
            name: Its name.
            component: What it does.
            inputs: As `inputs` gives them.
            more: Other fields.
        """
        given = {kind: found for kind, found in inputs.items() if found}
        self.tasks[name] = {"componentRef": {"name": component}, "taskInfo": {"name": name}, **more}
        if given:
            self.tasks[name]["inputs"] = given

    def depend(self, task: str, other: str) -> None:
        """Let one task wait for another."""
        before = self.tasks[task].setdefault("dependentTasks", [])
        if other not in before:
            before.append(other)

    def definitions(self, chosen: Sequence[Chosen] = ()) -> dict[str, Any]:
        """Return what the graph is given from outside, as a component's definitions."""
        kinds = {one.name: one.kind for one in [*self._chosen.values(), *chosen]}
        return definitions(self._artifacts, self._run | kinds)

    def _artifact(self, task: str) -> dict[str, Any]:
        if task in self.members:
            return {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": OUTPUTS}}
        self._artifacts[task] = None
        return {"componentInputArtifact": task}

    def _decision(self, one: Chosen) -> dict[str, Any]:
        if one.task in self.members:
            return {"taskOutputParameter": {"producerTask": one.task, "outputParameterKey": one.key}}
        self._chosen[one.name] = one
        return {"componentInputParameter": one.name}


def definitions(artifacts: Iterable[str], parameters: dict[str, str], *, lists: bool = False) -> dict[str, Any]:
    """Return the definitions of a component's inputs.

    Args:
        artifacts: Their names.
        parameters: By name, their types.
        lists: Whether each artifact is a list of them.
    """
    more = {"isArtifactList": True} if lists else {}
    found = {
        "artifacts": {name: {**ARTIFACT, **more} for name in artifacts},
        "parameters": {name: {"parameterType": kind} for name, kind in parameters.items()},
    }
    return {kind: one for kind, one in found.items() if one}
