"""Deciding: whether a step is wanted and over which parts it goes, said before the platform starts it."""

import json
from pathlib import Path
from typing import NoReturn

import msgspec

from falaj.kernel.errors import DataError
from falaj.pipelines.arguments import Needed, divided, is_wanted
from falaj.pipelines.exports.plan import Decision, needs_of
from falaj.pipelines.graph import Step
from falaj.pipelines.handover import EMPTY_PART


def decide(decision: Decision, step: Step, needed: Needed, file: Path) -> None:
    """Write a decision: `true` or `false`, or the positions of a list as JSON.

    Args:
        decision: The decision.
        step: The step that it is about.
        needed: What the steps gave by whose results it is decided.
        file: Where to.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(go(step, needed) if decision.kind == "go" else parts(step, needed)), encoding="utf-8")


def go(step: Step, needed: Needed) -> bool:
    """Return whether a step's condition holds.

    A condition that cannot be evaluated lets the step start: the error is its own, and it meets it again.
    """
    try:
        return is_wanted(msgspec.structs.replace(step, arguments={}), needed)
    except DataError:
        return True


def parts(step: Step, needed: Needed) -> list[int]:
    """Return the positions in the list that a step goes over; `[-1]` for none, so that somebody says so.

    A list that cannot be gone over lets one part start, which fails for the step that asked for it.
    """
    if any(name in needed.skipped for name in needs_of(step).required):
        return [EMPTY_PART]
    try:
        return list(range(len(divided(step, needed)[1]))) or [EMPTY_PART]
    except DataError:
        return [0]


def no_file(file: str) -> NoReturn:
    """Refuse a file of the project where no step is at hand that could be given it."""
    raise DataError(f"a condition or a list names the file {file!r}", hint="give it to a step")
