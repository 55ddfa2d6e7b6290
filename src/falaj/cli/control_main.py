"""The control process's entry: `python -m falaj.cli.control_main FOLDER [SUPERVISOR]`."""

import logging
import sys
from pathlib import Path
from typing import Any

from falaj.api.server import make_app
from falaj.app.control import run_control
from falaj.app.refusal import refuse
from falaj.app.web import Authenticate
from falaj.console.routes import page_handlers
from falaj.kernel.errors import FalajError
from falaj.kernel.settings import load_settings


def application(rooms: Any, authenticate: Authenticate) -> Any:
    """Return the HTTP application: the API with the pages beside it."""
    return make_app(rooms, authenticate, page_handlers(rooms, authenticate))


def run(folder: Path, supervisor: int | None = None) -> None:
    """Run control in this process until it is told to stop, or its supervisor is gone.

    Raises:
        Locked: Another process holds the project.
        PortInUse: Another program listens on the address.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run_control(folder, load_settings(folder), application, supervisor=supervisor)


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    except FalajError as error:
        refuse(error)
