"""Metaflow at work, in its own environment: one command a line in, one answer a line out, both JSON.

Started by `bench/lifecycle.py`. Commands:

    version      of Metaflow
    steps        number: a flow so many tiny steps in a row by its local runtime, which gives each a process of its own;
                 `seconds` are the median from the begin of one to that of the next
"""

import importlib.metadata
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

_STEP = """
    @step
    def {name}(self):
        with open({ledger!r}, "a") as ledger:
            ledger.write(f"{{time.time()}}\\n")
        self.next(self.{after})
"""
_FLOW = """
import time
from metaflow import FlowSpec, step

class Squares(FlowSpec):
{steps}
    @step
    def end(self):
        pass

if __name__ == "__main__":
    Squares()
"""


class Worker:
    """Carries commands out."""

    def version(self):
        """Say which Metaflow this is."""
        return {"version": importlib.metadata.version("metaflow")}

    def steps(self, number):
        """Run a flow, and say what a step takes."""
        with tempfile.TemporaryDirectory(prefix="falaj-metaflow-") as folder:
            ledger = Path(folder) / "ledger"
            names = ["start", *(f"square_{at}" for at in range(1, number)), "end"]
            steps = [_STEP.format(name=a, after=b, ledger=str(ledger)) for a, b in itertools.pairwise(names)]
            (Path(folder) / "squares.py").write_text(_FLOW.format(steps="".join(steps)))
            own = {
                "METAFLOW_HOME": folder,
                "METAFLOW_USER": "bench",
                "METAFLOW_DEFAULT_DATASTORE": "local",
                "METAFLOW_DEFAULT_METADATA": "local",
                "METAFLOW_DATASTORE_SYSROOT_LOCAL": folder,
            }
            subprocess.run(
                [sys.executable, "squares.py", "--quiet", "--no-pylint", "run"],
                cwd=folder,
                env=os.environ | own,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                check=True,
            )
            began = [float(line) for line in ledger.read_text().splitlines()]
            assert len(began) == number
            return {"seconds": statistics.median(b - a for a, b in itertools.pairwise(began))}


def main():
    """Answer until the input ends."""
    worker = Worker()
    for line in sys.stdin:
        words = json.loads(line)
        try:
            answer = getattr(worker, words.pop("do"))(**words)
        except Exception as error:  # noqa: BLE001 - what Metaflow raises is an answer
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
