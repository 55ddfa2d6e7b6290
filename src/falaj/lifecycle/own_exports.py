"""Exports of users' own pipelines to other platforms."""

import json
from collections.abc import Mapping
from typing import Any, Literal, cast

from falaj.definitions.pipeline import Pipeline
from falaj.kernel.errors import InputError
from falaj.lifecycle.project import TracedPipeline, trace_pipeline
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.exports.argo import argo_export
from falaj.pipelines.exports.kubeflow import kubeflow_export
from falaj.pipelines.exports.plan import Exported, Exporting, Kind, Parameter
from falaj.pipelines.turns import OWN

Platform = Literal["kfp", "argo"]


def export_pipeline(
    rooms: Rooms,
    name: str,
    params: Mapping[str, Any],
    *,
    to: Platform,
    image: str,
    folder: str = "",
    secret: str = "falaj",  # noqa: S107 the name of one
) -> Exported:
    """Return a pipeline in the words of Kubeflow Pipelines or Argo Workflows, by the project's files as they are now.

    Args:
        rooms: The project.
        name: The pipeline.
        params: Its parameters: JSON, or text as a command line has it. They become the defaults there.
        to: `kfp` or `argo`.
        image: The container image, with Falaj and the project's files in it.
        folder: The project's folder in the image; empty for the image's own working folder.
        secret: The Kubernetes secret whose keys are the names of the steps' secrets.

    Raises:
        NotFound: No such pipeline is applied.
        InputError: A parameter is missing, or not of its type; the image has no name; or a step works on the project's
            stores.
        ProjectError: Its file cannot be loaded, or its function fails.
    """
    pipeline = rooms.definitions.pipeline(name)
    scheduled = to == "argo" and bool(pipeline.schedule) and (not pipeline.at or pipeline.at not in params)
    given = dict(params)
    if scheduled and pipeline.at:
        given[pipeline.at] = pipeline.instant(rooms.clock.now())  # only to see the steps; the schedule gives it there
    traced = trace_pipeline(rooms.folder, pipeline, given)
    own = [step.name for step in traced.graph.steps if step.executor in OWN]
    if own:
        raise InputError(
            f"step {own[0]!r} of pipeline {name!r} works on the project's stores, which a container does not have",
            hint="give the other platform a pipeline of the other steps, and the data as files",
        )
    exporting = Exporting(
        pipeline=pipeline,
        graph=traced.graph,
        parameters=_parameters(pipeline, traced, chosen=params, leave_out=pipeline.at if scheduled else ""),
        image=image,
        folder=folder,
        secret=secret,
        scheduled=scheduled,
        contexts=traced.contexts,
    )
    return argo_export(exporting) if to == "argo" else kubeflow_export(exporting)


def _parameters(
    pipeline: Pipeline, traced: TracedPipeline, chosen: Mapping[str, Any], leave_out: str
) -> tuple[Parameter, ...]:
    found = []
    for name, value in traced.params.items():
        if name == leave_out or (value is None and name not in chosen):
            continue  # None by default stays so there
        if value is None:
            raise InputError(
                f"pipeline {pipeline.name!r}: {name} is None, which other platforms cannot be given",
                hint=f"give another value: --param {name}=...",
            )
        kind = cast("Kind", traced.kinds[name])
        # What has no type of its own there travels as text, as on a command line.
        text = kind == "string" and not isinstance(value, str)
        found.append(Parameter(name, kind, json.dumps(value) if text else value))
    return tuple(found)
