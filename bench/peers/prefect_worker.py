"""Prefect at work, in its own environment: one command a line in, one answer a line out, both JSON.

Started by `bench/lifecycle.py`. Commands:

    version      of Prefect
    steps        number: a flow that calls so many tiny tasks one after another, against the local server that Prefect
                 starts by itself, on SQLite; `seconds` are the median from the begin of one to that of the next
"""

import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
import traceback

_HOME = tempfile.TemporaryDirectory(prefix="falaj-prefect-")
os.environ |= {
    "PREFECT_HOME": _HOME.name,
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "ERROR",
}

import prefect  # noqa: E402 - its settings come first

_BEGAN = []


@prefect.task
def square(number):
    """Do next to nothing."""
    _BEGAN.append(time.perf_counter())
    return number * number


@prefect.flow
def squares(number):
    """Call so many."""
    return sum(square(at) for at in range(number))


class Worker:
    """Carries commands out."""

    def version(self):
        """Say which Prefect this is."""
        return {"version": prefect.__version__}

    def steps(self, number):
        """Run the flow, and say what a task takes."""
        _BEGAN.clear()
        assert squares(number) == sum(at * at for at in range(number))
        return {"seconds": statistics.median(b - a for a, b in itertools.pairwise(_BEGAN))}


def main():
    """Answer until the input ends."""
    worker, answers = Worker(), sys.stdout
    for line in sys.stdin:
        words = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what Prefect prints is no answer
                answer = getattr(worker, words.pop("do"))(**words)
        except Exception as error:  # noqa: BLE001 - what Prefect raises is an answer
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
