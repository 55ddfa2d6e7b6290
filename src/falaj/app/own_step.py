"""Own step: one of Falaj's steps on the project, called from a notebook or a test, as a run of its own."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from falaj.app.kept_values import read_value
from falaj.app.opened import opened
from falaj.app.training_run import follow_run
from falaj.app.values.run import CallStep, OutputQuery, StepOutput
from falaj.app.values.status import RunStatus
from falaj.kernel.errors import RunFailed
from falaj.pipelines.arguments import DIGEST, KEPT, OUTPUT
from falaj.pipelines.values import pack
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.folder import StateFolder


def call_in_open_project(function: str, arguments: Mapping[str, Any]) -> Any:
    """Let a step of Falaj's own run in the project that is open, and return what it gave.

    Args:
        function: `module:name`.
        arguments: As the function takes them; None for what is not given.

    Raises:
        ProjectError: No project is open.
        AccessDenied: Whoever opened it may not do that.
        RunFailed: The step failed.
    """
    client = opened()
    state = StateFolder.of(client.folder, client.settings.storage)
    with tempfile.TemporaryDirectory() as folder:
        plain = {
            name: msgspec.to_builtins(v) if name == "checks" else v for name, v in arguments.items() if v is not None
        }
        packed = pack(plain, lambda: Path(folder))
        tree = packed.pop("result")
        kept = {name: LocalBlobs(state.blobs).put_file(path) for name, path in packed.items()}
    started = client.perform("run.call", CallStep(function, _with_digests(tree, kept)), RunStatus)
    run = follow_run(client, started.id, None).run
    if run.state != "SUCCEEDED":
        raise RunFailed(f"run {run.id} {run.state.lower()}: {run.error}", hint=f"falaj runs show {run.id}")
    (found,) = client.perform("run.output", OutputQuery(run.id), list[StepOutput])
    return read_value(found)


def _with_digests(tree: Any, kept: Mapping[str, str]) -> Any:
    if isinstance(tree, list):
        return [_with_digests(part, kept) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if KEPT in tree:
        return {**tree, DIGEST: kept[tree[OUTPUT]]}
    return {key: _with_digests(part, kept) for key, part in tree.items()}
