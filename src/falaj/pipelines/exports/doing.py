"""Doing: a step is given what other containers wrote, is called, and its result is written for others."""

import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from falaj.kernel.digest import digest_file
from falaj.kernel.errors import DataError, InputError
from falaj.pipelines.arguments import Needed, divided, is_wanted, resolved
from falaj.pipelines.attempt import Result, attempt
from falaj.pipelines.child import Hiding
from falaj.pipelines.context import EndState, StepContext
from falaj.pipelines.exports.places import Places
from falaj.pipelines.exports.plan import needs_of
from falaj.pipelines.exports.words import FAILED, FAILED_FOR_GOOD
from falaj.pipelines.graph import Step
from falaj.pipelines.handover import EMPTY_PART, Part, files_in, read_handover, write_handover
from falaj.pipelines.outputs import Outputs


class Done(msgspec.Struct, frozen=True):
    """What came of a step.

    Attributes:
        outputs: What it gave; nothing where it was skipped or failed.
        skipped: Whether it was not run.
        code: How the container ends.
    """

    outputs: Outputs = {}
    skipped: bool = False
    code: int = 0


class Given:
    """What other steps gave, as the platform put it into the container.

    Args:
        places: Where things lie.
        names: The platform's names of the steps.
        folder: For the attempt's own files.
    """

    def __init__(self, places: Places, names: Mapping[str, str], folder: Path) -> None:
        self._places = places
        self._names = names
        self.folder = folder
        self.files: dict[str, Path] = {}

    def needed(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> Needed:
        """Return what some steps gave.

        Args:
            required: Steps that gave something, or say that they were skipped.
            optional: Steps of which nothing is there if they were skipped.

        Raises:
            DataError: What a required step gave is not there.
        """
        outputs: dict[str, Outputs] = {}
        skipped = set()
        for step in required + optional:
            folder = self._places.input(self._names[step])
            if folder is None and step in required:
                raise DataError(f"what step {step!r} gave is not there", hint="export the pipeline again")
            found = None if folder is None else read_handover(folder)
            if folder is None or found is None or found.skipped:
                skipped.add(step)
            else:
                outputs[step] = found.outputs
                self.files |= files_in(folder)
        return Needed(outputs, skipped, self._keep)

    @property
    def output(self) -> Path:
        """Where the step's own go."""
        return self._places.output

    def _keep(self, file: str) -> str:
        path = Path(file)
        if not path.is_file():
            raise InputError(f"{path} is no file of the image", hint="put it there, beside the project's files")
        digest = digest_file(path)
        self.files[digest] = path.absolute()
        return digest


def do(step: Step, given: Given, run: str, part: int | None) -> Done:
    """Do a step, or one part of it, and write what it gives.

    Args:
        step: The step.
        given: What other steps gave.
        run: The platform's name of the run.
        part: Its place in the list that is gone over; None for a whole step.

    Raises:
        FalajError: What it is given does not fit.
    """
    needs = needs_of(step)
    needed = given.needed(needs.required, needs.optional)
    skipped = not is_wanted(step, needed)
    if skipped:
        sys.stdout.write(f"{step.name}: skipped: its condition does not hold, or a step before it was skipped\n")
        mark = None if part is None else Part(EMPTY_PART)
        return Done(write_handover(given.output, {}, skipped=True, part=mark), skipped=True)
    one, mark = (step, None) if part is None else _part(step, needed, part)
    if one is None:
        return Done(write_handover(given.output, {}, part=mark))
    result = _called(one, resolved(one, needed), given, run)
    if result.state is not EndState.SUCCEEDED:
        sys.stderr.write(f"{step.name}: {result.error}\n")
        return Done(code=FAILED if result.retryable else FAILED_FOR_GOOD)
    return Done(write_handover(given.output, result.outputs, part=mark))


def _part(step: Step, needed: Needed, at: int) -> tuple[Step | None, Part]:
    whole, parts = divided(step, needed)
    if at >= len(parts) or (at == EMPTY_PART and parts):
        raise DataError(f"step {step.name!r} goes over {len(parts)} parts, and is asked for part {at}")
    return (None if at == EMPTY_PART else parts[at]), Part(at, len(parts), whole.shape)


def _called(step: Step, arguments: dict[str, Any], given: Given, run: str) -> Result:
    hidden: list[str] = []
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Hiding(sys.stdout, hidden), Hiding(sys.stderr, hidden)
    try:
        return attempt(step.function, lambda: _context(step, arguments, given, run, hidden), _cpu_seconds)
    finally:
        sys.stdout, sys.stderr = streams


def _context(step: Step, arguments: dict[str, Any], given: Given, run: str, hidden: list[str]) -> StepContext:
    return StepContext(
        run_id=run,
        step=step.name,
        attempt=1,
        params=step.params,
        inputs={},
        folder=given.folder / "work",
        checkpoint=given.folder / "checkpoint",
        files=given.files,
        arguments=arguments,
        hidden=hidden,
    )


def _cpu_seconds() -> float:
    mine, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime
