"""The gateway's root: `python -m falaj.app.gateway FOLDER NUMBER` runs one worker. It loads only what serving may."""

import logging
import sys
from pathlib import Path

from falaj.kernel.errors import FalajError
from falaj.kernel.settings import Settings, load_settings
from falaj.serving.gateway import GatewayConfig, run_worker


def config_for(folder: Path, settings: Settings, number: int) -> GatewayConfig:
    """Return the configuration of one worker of a project.

    Args:
        folder: The project's folder.
        settings: Its settings.
        number: The worker's number, from 0.
    """
    raise SystemExit(str((folder, settings, number)))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    project = Path(sys.argv[1]).resolve()
    try:
        run_worker(config_for(project, load_settings(project), int(sys.argv[2])))
    except FalajError as error:
        sys.exit(f"error [{error.code}] {error.message}\n  fix  {error.hint}")
