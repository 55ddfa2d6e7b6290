"""What `import falaj` does, and what it leaves alone."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import falaj

SOURCE = Path(__file__).parents[2] / "src"

WATCHED_IMPORT = """
import json, os, sys, threading

touched, environment, before = [], [], set(sys.modules)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ACTS = ("socket.", "subprocess.", "sqlite3.", "ctypes.", "urllib.", "tempfile.", "shutil.", "signal.",
        "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.mkdir", "os.remove", "os.rename", "os.putenv")

def watch(event, args):
    if event == "open":
        path, mode, flags = args
        code = str(path).endswith((".py", ".pyc", ".so", ".pyd"))
        if not code or mode not in (None, "r", "rb") or (flags or 0) & WRITING:
            touched.append(f"open {path} {mode} {flags}")
    elif event.startswith(ACTS):
        touched.append(event)

class Watched(type(os.environ)):
    def __getitem__(self, key):
        frame = sys._getframe(1)
        while frame and frame.f_globals.get("__name__") in ("os", "_collections_abc", "collections.abc"):
            frame = frame.f_back
        if frame and "falaj" in frame.f_globals.get("__name__", ""):
            environment.append(key)
        return super().__getitem__(key)

def started(thread, start=threading.Thread.start):
    touched.append("thread")
    start(thread)

threading.Thread.start = started
os.environ.__class__ = Watched
sys.addaudithook(watch)
import falaj
loaded = sorted(set(sys.modules) - before)
print(json.dumps({"touched": touched, "environment": environment, "loaded": loaded,
                  "file": falaj.__file__}))
"""


@cache
def report_of(program: str = WATCHED_IMPORT) -> dict[str, Any]:
    """Run it in a new process and return what it reports; -B, so that Python itself writes nothing."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert Path(found["file"]).is_relative_to(SOURCE)
    return found


def test_it_opens_no_file_socket_or_thread() -> None:
    assert report_of()["touched"] == []


def test_it_reads_no_environment() -> None:
    assert report_of()["environment"] == []


def test_it_loads_kernel_and_definitions_only() -> None:
    loaded = report_of()["loaded"]
    rooms = {name.split(".")[1] for name in loaded if name.startswith("falaj.")}
    assert rooms == {"kernel", "definitions"}
    heavy = {"numpy", "pandas", "pyarrow", "sqlalchemy", "duckdb", "deltalake", "lmdb", "mlflow", "litestar", "click"}
    heavy |= {"rich", "sklearn", "lightgbm", "xgboost", "onnxruntime", "asyncio", "http", "socket", "sqlite3"}
    assert heavy & {name.split(".")[0] for name in loaded} == set()


def test_the_watch_sees_what_it_is_for() -> None:
    program = WATCHED_IMPORT.replace(
        "import falaj\n",
        "import falaj, types\n"
        "probe = types.ModuleType('falaj.probe')\n"
        'exec(\'import os, socket, threading; os.environ.get("HOME"); open("/etc/passwd").close(); '
        "socket.socket().close(); threading.Thread(target=int).start()', probe.__dict__)\n",
    )
    found = report_of(program)
    assert found["environment"] == ["HOME"]
    assert {"socket.__new__", "thread"} <= set(found["touched"])
    assert any(act.startswith("open /etc/passwd") for act in found["touched"])


def test_public_names_are_real_sorted_and_complete() -> None:
    names = list(falaj.__all__)
    assert names == sorted(names)
    assert len(names) == len(set(names))
    public = {
        name
        for name, value in vars(falaj).items()
        if not name.startswith("_") and name != "TYPE_CHECKING" and not isinstance(value, ModuleType)
    }
    assert public - set(names) == set()
    assert [name for name in names if not hasattr(falaj, name)] == []


def test_every_public_class_and_function_says_what_it_is() -> None:
    silent = []
    for name in falaj.__all__:
        value = getattr(falaj, name)
        named = isinstance(value, type | ModuleType) or callable(value)
        own = value.__dict__.get("__doc__") if isinstance(value, type) else value.__doc__
        if named and not own:
            silent.append(name)
    assert silent == []
