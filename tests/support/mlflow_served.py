"""MLflow's pages mounted in control's application, asked within this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litestar.testing import TestClient

from falaj.cli.control_main import application
from falaj.governance.access import SYSTEM
from falaj.lifecycle.documents import tracking_of
from falaj.models.mlflow_writing import load_mlflow
from support.control_app import App
from support.rooms_world import World, definitions, opened

HOST = "http://127.0.0.1:8470"


@contextmanager
def served(folder: Path) -> Iterator[tuple[App, World, dict[str, str]]]:
    """The application, its rooms, and a token of each role by its name; one run is in MLflow."""
    before = dict(os.environ)
    with opened(folder, definitions()) as world:
        tokens = {}
        for role in ("owner", "engineer", "viewer", "service"):
            world.rooms.actors.create(role, role, SYSTEM)
            tokens[role] = world.rooms.actors.create_token(role, by=SYSTEM)
        with tracking_of(world.rooms) as tracking:
            tracking.begin("fraud", "run_1", 1_000_000)
        app: Any = application(world.rooms, world.rooms.actors.authenticate)
        try:
            with TestClient(app, base_url=HOST, raise_server_exceptions=False) as client:
                yield client, world, tokens
        finally:
            mlflow = load_mlflow()  # whose server says for the whole process where its stores are
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri(None)
            os.environ.clear()  # MLflow is told by the environment
            os.environ.update(before)


def bearer(token: str) -> dict[str, str]:
    """The header that presents a token."""
    return {"authorization": f"Bearer {token}"}
