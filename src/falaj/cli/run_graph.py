"""A run's steps as a tree of text."""

from collections.abc import Mapping, Sequence

import click

from falaj.app.values.run import StepStatus
from falaj.cli.command import plain

COLOURS = {"SUCCEEDED": "green", "RUNNING": "cyan", "PENDING": "white", "SKIPPED": "yellow"}


def drawn(steps: Sequence[StepStatus]) -> list[str]:
    """Return the lines of a tree: each step stands once, below the last of those that it needs.

    Args:
        steps: All steps of a run; the parts of one that goes over a list are counted, and not drawn.

    Example:
        >>> steps = [StepStatus(name, "PENDING", None, 0, "", False, 0, "", "", needs)
        ...          for name, needs in (("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c")))]
        >>> print("\\n".join(click.unstyle(line).rstrip() for line in drawn(steps)))
        └─ a  PENDING
           ├─ b  PENDING
           └─ c  PENDING
              └─ d  PENDING  also needs b
    """
    names = {step.name for step in steps}
    parts = {
        step.name: [one for one in steps if _part_of(one.name, names) == step.name]
        for step in steps
        if step.parts is not None
    }
    whole = [step for step in steps if _part_of(step.name, parts) is None]
    depth: dict[str, int] = {}
    for step in whole:  # they come in an order in which they can be done
        depth[step.name] = 1 + max((depth[need] for need in step.needs), default=0)
    below: dict[str, list[StepStatus]] = {}
    for step in whole:
        parent = max(reversed(step.needs), key=lambda need: depth[need], default="")
        below.setdefault(parent, []).append(step)
    return _branch(below, parts, "", "")


def _branch(
    below: Mapping[str, list[StepStatus]], parts: Mapping[str, list[StepStatus]], parent: str, indent: str
) -> list[str]:
    lines, children = [], below.get(parent, [])
    for step in children:
        last = step is children[-1]
        lines.append(f"{indent}{'└─' if last else '├─'} {_label(step, parts.get(step.name, []), parent)}")
        lines += _branch(below, parts, step.name, f"{indent}{'   ' if last else '│  '}")
    return lines


def _label(step: StepStatus, parts: list[StepStatus], parent: str) -> str:
    words = [step.name, click.style(step.state, fg=COLOURS.get(step.state, "red"))]
    if step.seconds is not None:
        words.append(f"{step.seconds:.1f} s")
    if step.parts is not None:
        states = [part.state for part in parts]
        counts = ", ".join(f"{states.count(state)} {state.lower()}" for state in dict.fromkeys(states))
        words.append(f"{step.parts} parts{f': {counts}' if counts else ''}")
    others = [need for need in step.needs if need != parent]
    if others:
        words.append(f"also needs {', '.join(others)}")
    if step.cached:
        words.append("from an earlier run")
    if step.mlflow:
        words.append(f"MLflow {', '.join(one[:8] for one in step.mlflow)}")
    if step.error or (step.state in ("RUNNING", "PENDING") and step.text):
        words.append(plain(step.error or step.text))
    return "  ".join(words)


def _part_of(name: str, wholes: "Mapping[str, object] | set[str]") -> str | None:
    whole, _, number = name.rpartition(".")
    return whole if number.isdigit() and whole in wholes else None
