"""Places: where a platform puts what a container is given, and looks for what it gives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from falaj.kernel.errors import InputError
from falaj.pipelines.arguments import RESULT
from falaj.pipelines.exports.plan import OUTPUTS
from falaj.pipelines.outputs import Outputs

PART = "falaj-part"
"""The parameter that says which part of a list a container does; no parameter in Python can be called so."""
PARTS = "parts"
"""The artifact that holds what all parts gave."""
ARGO_INPUTS, ARGO_PARTS = "falaj-inputs", "falaj-parts"
ARGO_OUTPUTS, ARGO_DECISIONS = "falaj-outputs", "falaj-decisions"
_MOUNTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where things lie in a container.

    Attributes:
        params: The run's parameters, as the platform gives them beside the command.
        part: Which part of a list; None where the command says it, or for a whole step.
        input: The folder of what a step gave, by the platform's name of it; None where it was skipped.
        parts: The folders of what all parts of a list gave.
        output: The folder of what this one gives.
        decision: The file of a decision, by its key.
        tell: Says what was given, besides the folder.
    """

    params: dict[str, Any] = {}
    part: int | None = None
    input: Callable[[str], Path | None]
    parts: Callable[[], list[Path]]
    output: Path
    decision: Callable[[str], Path]
    tell: Callable[[Outputs], None]


def argo_places(folder: Path) -> Places:
    """Return the places of a container of Argo Workflows: fixed ones in a folder that everybody may write to.

    Kubernetes makes the folders above a mounted input as root. What is written stands beside them, and not below, so
    that an image may run as anybody.

    Args:
        folder: The folder.
    """

    def given(name: str) -> Path | None:
        path = folder / ARGO_INPUTS / name
        return path if path.exists() else None

    return Places(
        input=given,
        parts=lambda: sorted((folder / ARGO_PARTS).iterdir()),
        output=folder / ARGO_OUTPUTS,
        decision=lambda key: folder / ARGO_DECISIONS / key,
        tell=lambda _: None,
    )


def kubeflow_places(text: str) -> Places:
    """Return the places of a container of Kubeflow Pipelines.

    Args:
        text: The executor input, JSON, as the placeholder `{{$}}` gives it.

    Raises:
        InputError: It is none.
    """
    try:
        given = json.loads(text)
        inputs, outputs = given.get("inputs", {}), given["outputs"]
    except (ValueError, KeyError, AttributeError):
        raise InputError(f"{text[:80]!r} is no executor input of Kubeflow", hint="pass the placeholder {{$}}") from None
    artifacts = {name: one.get("artifacts", []) for name, one in inputs.get("artifacts", {}).items()}
    own = [one for made in outputs.get("artifacts", {}).values() for one in made.get("artifacts", [])]
    params = dict(inputs.get("parameterValues", {}))
    part = params.pop(PART, None)
    for name in [name for name in params if "--" in name]:
        del params[name]  # decisions that passed through

    def folder(name: str) -> Path | None:
        return _path(artifacts[name][0]) if artifacts.get(name) else None

    return Places(
        params=params,
        part=None if part is None else int(part),
        input=folder,
        parts=lambda: [_path(one) for one in artifacts.get(PARTS, [])],
        output=_path(own[0]) if own else Path(),
        decision=lambda key: Path(outputs["parameters"][key]["outputFile"]),
        tell=lambda found: _tell(Path(outputs["outputFile"]), own, found),
    )


def _path(artifact: dict[str, Any]) -> Path:
    if artifact.get("customPath"):
        return Path(artifact["customPath"])
    uri: str = artifact["uri"]
    for scheme, mount in _MOUNTS.items():
        if uri.startswith(scheme):
            return Path(mount + uri.removeprefix(scheme))
    return Path(uri)


def _tell(file: Path, own: list[dict[str, Any]], outputs: Outputs) -> None:
    """Write the executor output: Kubeflow shows the numbers of a result beside its artifact."""
    value = outputs[RESULT].value if RESULT in outputs else None
    numbers = value if isinstance(value, dict) else {RESULT: value}
    metadata = {k: v for k, v in numbers.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    made = [{**one, "metadata": {**one.get("metadata", {}), **metadata}} for one in own]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"artifacts": {OUTPUTS: {"artifacts": made}}}), encoding="utf-8")
