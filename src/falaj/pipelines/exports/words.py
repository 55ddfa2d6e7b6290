"""Words: the command of a step's container, and what is said of what neither platform carries."""

from collections.abc import Sequence

from falaj.pipelines.exports.plan import Decision, Exporting, secrets_of, shape_of
from falaj.pipelines.graph import Step

COMMAND = ["python", "-u", "-m", "falaj.pipelines.container"]
"""What each container runs."""
FAILED, FAILED_FOR_GOOD = 1, 3
"""How a container ends; the second where another try cannot help."""


def words_of(exporting: Exporting, platform: str, work: str, step: Step, decisions: Sequence[Decision]) -> list[str]:
    """Return what follows the command in a container.

    Args:
        exporting: The pipeline, and where it runs.
        platform: `kubeflow` or `argo`.
        work: `run`, `part`, `gather` or `decide`.
        step: The step.
        decisions: Those that it makes when it ends.
    """
    fixed = {
        "--pipeline": exporting.pipeline.function,
        "--step": step.name,
        "--shape": shape_of(exporting.graph),
        "--folder": exporting.folder,
    }
    words = [platform, work, *(f"{flag}={value}" for flag, value in fixed.items() if value)]
    asked = [f"{one.kind}:{one.step}" for one in decisions]
    return [*words, "--decide", *asked] if asked else words


def common_notes(exporting: Exporting, platform: str) -> list[str]:
    """Return what neither platform carries, a sentence each.

    Args:
        exporting: The pipeline, and where it runs.
        platform: Its name.
    """
    pipeline, notes = exporting.pipeline, []
    if pipeline.notify:
        notes.append(f"alerts: Falaj tells nobody of {' or '.join(pipeline.notify)} there; let {platform} do it")
    if pipeline.on:
        sources = ", ".join(sorted({event.source for event in pipeline.on}))
        notes.append(f"events: what comes into {sources} starts nothing there")
    far = [step.name for step in exporting.graph.steps if step.executor == "ray"]
    if far:
        notes.append(f"engine: {', '.join(far)} is done in a container of its own, and not on Ray")
    secrets = sorted({name for step in exporting.graph.steps for name in secrets_of(step)})
    if secrets:
        notes.append(f"secrets: the Kubernetes secret {exporting.secret!r} must hold {', '.join(secrets)}")
    if exporting.contexts:
        notes.append(
            f"contexts: {', '.join(exporting.contexts)} finds no checkpoint of an earlier attempt, and its progress is "
            "not shown"
        )
    return notes
