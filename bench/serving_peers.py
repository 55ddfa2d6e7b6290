"""Model servers that others wrote, each in its own environment, with the model that all of them serve."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from load import Cpus, server, shared
from peers.make import CACHE, python_of
from project import free_port

COLUMNS = 12
_BODIES = 1_000
_SERVE_PORT = 8000  # Ray Serve's own


class Peer(NamedTuple):
    """A running model server.

    Attributes:
        url: Where it is.
        path: Where it is asked.
        bodies: A file with one request body a line.
        pid: The process that was started; it may have others.
    """

    url: str
    path: str
    bodies: Path
    pid: int


def make_model(folder: Path) -> Path:
    """Train the model that every peer serves, and return XGBoost's file of it.

    Raises:
        FileNotFoundError: `../shared/bench` is not beside the project.
    """
    script = shared("model.py")
    if script is None:
        raise FileNotFoundError("../shared/bench/model.py is not beside the project")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return folder / "booster.json"


@contextmanager
def running(name: str, model: Path, folder: Path, places: Cpus) -> Iterator[Peer]:
    """Run a peer on the server's CPU.

    Args:
        name: Which one.
        model: XGBoost's file.
        folder: For what it needs to write.
        places: Which CPU is the server's.

    Raises:
        NotMade: Its environment is absent.
        FileNotFoundError: `../shared/bench` is not beside the project.
    """
    port = _SERVE_PORT if name == "ray_serve" else free_port()
    folder.mkdir(parents=True, exist_ok=True)
    words, path, ready = _STARTS[name](python_of(name, CACHE).parent, model, folder, port)
    kept = {key: os.environ.get(key) for key in ("MODEL", "PYTHONPATH")}
    with ExitStack() as stack:
        os.environ["MODEL"] = str(model)
        stack.callback(_restore, kept)
        url = f"http://127.0.0.1:{port}"
        pid = stack.enter_context(server(places.server, words, url + ready, ready_s=120))
        yield Peer(url, path, _bodies(name, folder), pid)


def _restore(kept: dict[str, str | None]) -> None:
    for key, value in kept.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


Start = Callable[[Path, Path, Path, int], tuple[list[str], str, str]]


def _mlserver(tools: Path, model: Path, folder: Path, port: int) -> tuple[list[str], str, str]:
    shutil.copy(model, folder / "booster.json")
    runtime = {"implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": str(folder / "booster.json")}}
    settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0}
    (folder / "model-settings.json").write_text(json.dumps({"name": "m", **runtime}))
    (folder / "settings.json").write_text(json.dumps({**settings, "debug": False}))
    return [str(tools / "mlserver"), "start", str(folder)], "/v2/models/m/infer", "/v2/models/m/ready"


def _litserve(tools: Path, model: Path, folder: Path, port: int) -> tuple[list[str], str, str]:
    del model, folder
    return [str(tools / "python"), str(_app("litserve_app.py")), str(port)], "/predict", "/health"


def _bentoml(tools: Path, model: Path, folder: Path, port: int) -> tuple[list[str], str, str]:
    del model, folder
    place = _app("bento_app.py").parent
    words = [str(tools / "bentoml"), "serve", "bento_app:Service", "--port", str(port), "--working-dir", str(place)]
    return words, "/predict", "/readyz"


def _ray_serve(tools: Path, model: Path, folder: Path, port: int) -> tuple[list[str], str, str]:
    del model, folder, port
    return [str(tools / "serve"), "run", "--app-dir", str(_app("ray_app.py").parent), "ray_app:app"], "/", "/-/healthz"


def _app(name: str) -> Path:
    path = shared(f"peers/{name}")
    if path is None:
        raise FileNotFoundError(f"../shared/bench/peers/{name} is not beside the project")
    return path


_STARTS: dict[str, Start] = {
    "mlserver": _mlserver, "litserve": _litserve, "bentoml": _bentoml, "ray_serve": _ray_serve,
}  # fmt: skip


def _bodies(name: str, folder: Path) -> Path:
    rows = np.random.default_rng(6).normal(size=(_BODIES, COLUMNS)).round(4).tolist()
    if name == "mlserver":
        tensor = {"name": "x", "shape": [1, COLUMNS], "datatype": "FP32"}
        lines = [json.dumps({"inputs": [{**tensor, "data": row}]}) for row in rows]
    else:
        lines = [json.dumps({"x": row}) for row in rows]
    path = folder / "bodies.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path
