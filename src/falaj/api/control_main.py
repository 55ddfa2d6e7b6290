"""The control process's entry: `python -m falaj.api.control_main FOLDER`."""

import logging
import sys
from pathlib import Path

from falaj.api.server import make_app
from falaj.app.control import run_control
from falaj.kernel.errors import FalajError
from falaj.kernel.settings import load_settings


def run(folder: Path) -> None:
    """Run control in this process until it is told to stop.

    Raises:
        Locked: Another process holds the project.
        PortInUse: Another program listens on the address.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run_control(folder, load_settings(folder), make_app)


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]).resolve())
    except FalajError as error:
        sys.exit(f"error [{error.code}] {error.message}\n  fix  {error.hint}")
