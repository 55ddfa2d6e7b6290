"""Control does not open itself to the network when nobody could be told from anybody else."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from falaj.app.backends import open_rooms
from falaj.app.local import ensure_owner
from falaj.governance.access import SYSTEM
from falaj.kernel.settings import load_settings
from falaj.storage.folder import StateFolder

_SRC = Path(__file__).parents[3] / "src"


def test_control_refuses_an_open_address_without_a_token_in_force(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "falaj.toml").write_text(f'[control]\nhost = "0.0.0.0"\nport = {port}\n')
    settings = load_settings(tmp_path, {})
    state = StateFolder(tmp_path / settings.storage.path)
    with state.lock(), open_rooms(tmp_path, settings) as rooms:
        ensure_owner(rooms)
        for token in rooms.actors.tokens():
            rooms.actors.revoke(token.id, SYSTEM)
    done = subprocess.run(
        [sys.executable, "-m", "falaj.cli.control_main", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(_SRC)},
        check=False,
    )
    assert done.returncode != 0
    assert "control.host = '0.0.0.0' is open to the network, and there is no token" in done.stderr + done.stdout
