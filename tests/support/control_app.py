"""The control process's application over real rooms, asked within this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from falaj.app.operation import perform
from falaj.app.values.model import Train
from falaj.cli.control_main import application
from falaj.governance.access import SYSTEM
from support.rooms_world import ADA, World, definitions, opened

App = TestClient[Litestar]


@contextmanager
def asked(folder: Path) -> Iterator[tuple[App, World, str]]:
    """The application over a project with one version in production, its rooms, and an owner's token."""
    with opened(folder, definitions()) as world:
        run_id = perform(world.rooms, ADA, "model.train", Train("fraud")).run_id
        version = world.register(run_id=run_id)
        world.approve(version)
        world.deploy(version)
        world.rooms.actors.create("owner", "owner", SYSTEM)
        token = world.rooms.actors.create_token("owner", by=SYSTEM)
        app: Any = application(world.rooms, world.rooms.actors.authenticate)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client, world, token


def bearer(token: str) -> dict[str, str]:
    """The header that presents a token."""
    return {"authorization": f"Bearer {token}"}
