"""Containers: what runs in Kubeflow, what it needs, and how often it is tried."""

from collections.abc import Sequence
from typing import Any

from falaj.definitions.wire import FILE
from falaj.pipelines.exports.plan import Decision, Exporting, secrets_of
from falaj.pipelines.exports.words import COMMAND, words_of
from falaj.pipelines.graph import Step

_CARD = "nvidia.com/gpu"


class Containers:
    """The executors of a pipeline specification.

    Args:
        exporting: The pipeline, and where it is to run.

    Attributes:
        executors: By label.
        secrets: By label, what Kubernetes adds to the environment.
    """

    def __init__(self, exporting: Exporting) -> None:
        self._exporting = exporting
        self.executors: dict[str, Any] = {}
        self.secrets: dict[str, Any] = {}

    def add(self, name: str, work: str, step: Step, decisions: Sequence[Decision]) -> None:
        """Add the container of a component.

        Args:
            name: The component's name.
            work: `run`, `part`, `gather` or `decide`.
            step: The step.
            decisions: Those that it makes when it ends.
        """
        words = words_of(self._exporting, "kubeflow", work, step, decisions)
        words.append("--run={{$.pipeline_job_uuid}}")
        container: dict[str, Any] = {"image": self._exporting.image, "command": COMMAND}
        if work in ("run", "part"):
            if step.timeout_s is not None:
                words.append(f"--timeout-s={step.timeout_s:g}")
            container["resources"] = _resources(step)
            if secrets := secrets_of(step):
                self.secrets[f"exec-{name}"] = {"secretAsEnv": [_environment(self._exporting.secret, secrets)]}
        container["args"] = [*words, "--executor-input", "{{$}}"]
        self.executors[f"exec-{name}"] = {"container": container}

    def policy(self, step: Step) -> dict[str, Any]:
        """Return how often the task of a step is tried, and whether an earlier result of it may be taken."""
        found: dict[str, Any] = {"cachingOptions": {"enableCache": True} if self._is_pinned(step) else {}}
        if step.retries:
            longest = step.retry_delay_s * 2 ** (step.retries - 1)
            found["retryPolicy"] = {
                "maxRetryCount": step.retries,
                "backoffDuration": f"{step.retry_delay_s:g}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": f"{longest:g}s",
            }
        return found

    def _is_pinned(self, step: Step) -> bool:
        """Return whether a result depends on nothing but what Kubeflow compares: image, command and inputs."""
        return step.cache and "@sha256:" in self._exporting.image and not _names_file(step.arguments)


def _resources(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {"cpuRequest": step.cpu, "resourceCpuRequest": f"{step.cpu:g}"}
    if step.memory_bytes is not None:
        for field in ("Request", "Limit"):
            found[f"memory{field}"] = step.memory_bytes / 1e9
            found[f"resourceMemory{field}"] = str(step.memory_bytes)
    if step.gpu:
        number = str(step.gpu)
        found["accelerator"] = {"type": _CARD, "count": number, "resourceType": _CARD, "resourceCount": number}
    return found


def _environment(secret: str, names: Sequence[str]) -> dict[str, Any]:
    return {
        "secretName": secret,
        "secretNameParameter": {"runtimeValue": {"constant": secret}},
        "keyToEnv": [{"envVar": name, "secretKey": name} for name in names],
        "optional": False,
    }


def _names_file(tree: Any) -> bool:
    if isinstance(tree, dict):
        return FILE in tree or any(_names_file(part) for part in tree.values())
    return isinstance(tree, list) and any(_names_file(part) for part in tree)
