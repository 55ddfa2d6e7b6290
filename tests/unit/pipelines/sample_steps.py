"""Step functions that the tests run, in process and in child processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from falaj.kernel.errors import DataError
from falaj.pipelines.context import StepContext


def note(context: StepContext) -> None:
    """Add a line to the file that counts executions, in one write."""
    line = f"{context.run_id} {context.step} {context.attempt}\n".encode()
    fd = os.open(context.params["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line)
    os.close(fd)


def add(context: StepContext) -> dict[str, Any]:
    note(context)
    needed = sum(outputs["sum"] for outputs in context.inputs.values())
    return {"sum": context.params.get("number", 0) + needed}


def write_file(context: StepContext) -> dict[str, Any]:
    note(context)
    path = context.folder / "model.txt"
    path.write_text(context.params.get("text", "model"))
    return {"model": path, "auc": 0.9}


def read_file(context: StepContext) -> dict[str, Any]:
    note(context)
    return {"text": context.path(context.input("write", "model")).read_text()}


def look(context: StepContext) -> dict[str, Any]:
    context.log("looked around")
    return {
        "params": context.params,
        "inputs": context.inputs,
        "empty": not list(context.folder.iterdir()),
        "attempt": context.attempt,
        "resources": context.resources,
        "pid": os.getpid(),
    }


def make_resources(config: dict[str, Any]) -> dict[str, Any]:
    return {"made from": config}


def fail(context: StepContext) -> dict[str, Any]:
    note(context)
    raise ValueError("the column is empty")


def fail_for_good(context: StepContext) -> dict[str, Any]:
    note(context)
    raise DataError("column 'amount' is missing", hint="add it")


def fail_twice(context: StepContext) -> dict[str, Any]:
    note(context)
    if context.attempt < 3:
        raise ValueError(f"try {context.attempt}")
    return {"tries": context.attempt}


def go_on_from_checkpoint(context: StepContext) -> dict[str, Any]:
    done = context.checkpoint / "done"
    if not done.exists():
        done.write_text("half")
        raise ValueError("cut off")
    return {"found": done.read_text()}


def return_nonsense(context: StepContext) -> dict[str, Any]:
    del context
    return {"thread": threading.Lock()}


def leave(context: StepContext) -> dict[str, Any]:
    note(context)
    sys.exit(3)


def wait_for_ever(context: StepContext) -> dict[str, Any]:
    """Say that it runs, start a process of its own, and never end."""
    grandchild = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    started = Path(context.params["started"])
    temporary = started.with_suffix(".new")
    temporary.write_text(f"{os.getpid()} {grandchild.pid}")
    temporary.replace(started)
    while True:
        signal.pause()


def work_until_killed(context: StepContext) -> dict[str, Any]:
    """Use a core-second, and be killed as by a machine that is out of memory."""
    note(context)
    while time.process_time() < 1.0:
        pass
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def run_until_stopped(context: StepContext) -> dict[str, Any]:
    """In process: look all the time whether to stop, until told to."""
    Path(context.params["started"]).touch()
    while True:
        context.check()


def kill_itself(context: StepContext) -> dict[str, Any]:
    note(context)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def take_memory(context: StepContext) -> dict[str, Any]:
    del context
    return {"size": len(bytearray(1 << 30))}


def tell_progress(context: StepContext) -> dict[str, Any]:
    context.progress(0.25, "a quarter")
    context.progress(0.5, "half")
    return {}


def use_datasets(context: StepContext) -> dict[str, Any]:
    context.used("d" * 64)
    context.made("e" * 64)
    return {}


def nothing(context: StepContext) -> dict[str, Any]:
    del context
    return {}
