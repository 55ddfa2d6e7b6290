"""Evidently at work, in its own environment: one command a line in, one answer a line out, both JSON.

Started by `bench/lifecycle.py`. Commands:

    version      of Evidently
    load         name, path (a Parquet file): reads a frame and keeps it
    drift        reference, current (names), rows (first and last row of the current frame, or null): its drift preset

An answer of `drift` has `seconds`, `cpu_s` and the `drifted` columns, by Evidently's own methods and thresholds.
"""

import contextlib
import json
import sys
import time
import traceback
import warnings

warnings.simplefilter("ignore")

import evidently  # noqa: E402 - warnings come first
import pandas as pd  # noqa: E402
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402


class Worker:
    """Carries commands out."""

    def __init__(self):
        self.frames = {}

    def version(self):
        """Say which Evidently this is."""
        return {"version": evidently.__version__}

    def load(self, name, path):
        """Read a frame and keep it under a name."""
        self.frames[name] = pd.read_parquet(path)
        return {"rows": len(self.frames[name])}

    def drift(self, reference, current, rows=None):
        """Compare two frames by the preset for drift."""
        first, second = self.frames[reference], self.frames[current]
        if rows is not None:
            second = second.iloc[rows[0] : rows[1]]
        numbers = [name for name in first.columns if first[name].dtype.kind in "biuf"]
        names = [name for name in first.columns if name not in numbers]
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=names)
        began, began_cpu = time.perf_counter(), time.process_time()
        found = Report([DataDriftPreset()], include_tests=False).run(
            Dataset.from_pandas(second, data_definition=definition),
            Dataset.from_pandas(first, data_definition=definition),
        )
        metrics = found.dict()["metrics"]
        took, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
        return {
            "seconds": took,
            "cpu_s": cpu_s,
            "drifted": [one["config"]["column"] for one in metrics if _drifted(one)],
        }


def _drifted(metric):
    config, value = metric["config"], metric["value"]
    if "column" not in config:
        return False
    below = "p_value" in config["method"]
    return bool(value < config["threshold"] if below else value >= config["threshold"])


def main():
    """Answer until the input ends."""
    worker, answers = Worker(), sys.stdout
    for line in sys.stdin:
        words = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what Evidently prints is no answer
                answer = getattr(worker, words.pop("do"))(**words)
        except Exception as error:  # noqa: BLE001 - what Evidently raises is an answer
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
