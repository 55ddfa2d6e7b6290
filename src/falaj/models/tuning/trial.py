"""Trial: one choice of parameters and what it was worth; and the journal in which those that are done are kept."""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from falaj.kernel.errors import CorruptionError


class Trial(msgspec.Struct, frozen=True):
    """One choice of parameters.

    Attributes:
        number: 0, 1, 2, … in the order in which they were done.
        params: Parameter to its value.
        state: Whether it was done to its end, or ended early because it promised little.
        value: The metric on validation rows; of an early end, the last one seen. None where it is not a number.
        seen: Pairs of boosting rounds, or folds, and the metric after them.
        seconds: How long it took.
        family: Which library, where that was chosen too.
        notes: What Optuna's pruner noted of it, by which it prunes others.
    """

    number: int
    params: dict[str, Any]
    state: Literal["done", "pruned"]
    value: float | None
    seen: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    family: str = ""
    notes: dict[str, Any] = {}


class Journal:
    """The trials that are done, one JSON line each; what a killed process wrote of another line is dropped.

    Args:
        file: Where; need not exist.

    Raises:
        CorruptionError: A whole line is no trial.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        raw = file.read_bytes() if file.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            os.truncate(file, len(whole))
        try:
            self.trials = [msgspec.json.decode(line, type=Trial) for line in whole.splitlines()]
        except msgspec.MsgspecError as error:
            raise CorruptionError(f"{file} holds what is no trial: {error}", hint="remove it, and tune anew") from None

    def add(self, trial: Trial) -> None:
        """Keep a trial; when this returns, it survives the death of the process and of the machine."""
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(trial) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.trials.append(trial)
