"""Values of the operations on pipelines."""

from typing import Any, Literal

import msgspec

from falaj.app.values.status import RunStatus


class PipelinesQuery(msgspec.Struct, frozen=True):
    """Which pipelines.

    Attributes:
        pipeline: Only this one; empty for all.
    """

    pipeline: str = ""


class PipelineStatus(msgspec.Struct, frozen=True):
    """One pipeline of the project.

    Attributes:
        name: Its name.
        function: Where its function is.
        schedule: When it starts by itself; empty for never.
        time_zone: Of the schedule.
        next_due_us: When it is due next, in microseconds; None without a schedule.
        on: The events that start it, as sentences.
        last: Its newest run; None before the first.
    """

    name: str
    function: str
    schedule: str
    time_zone: str
    next_due_us: int | None
    on: tuple[str, ...]
    last: RunStatus | None


class ExportPipeline(msgspec.Struct, frozen=True):
    """A pipeline for another platform.

    Attributes:
        pipeline: The pipeline.
        to: `kfp` for Kubeflow Pipelines, `argo` for Argo Workflows.
        image: The container image, with Falaj and the project's files in it.
        params: Its parameters, as JSON or as text; they become the defaults there.
        folder: The project's folder in the image; empty for the image's own working folder.
        secret: The Kubernetes secret whose keys are the names of the steps' secrets.
    """

    pipeline: str
    to: Literal["kfp", "argo"]
    image: str
    params: dict[str, Any] = {}
    folder: str = ""
    secret: str = "falaj"  # noqa: S105 the name of one


class PipelineExport(msgspec.Struct, frozen=True):
    """A pipeline in another platform's own words.

    Attributes:
        pipeline: The pipeline.
        to: The platform.
        text: YAML.
        notes: What is otherwise there, or is not carried; a sentence each.
    """

    pipeline: str
    to: str
    text: str
    notes: tuple[str, ...]
