"""A real PostgreSQL server of a test's own, on a socket in a temporary folder."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from support.waiting import until

STOP_S = 30


def programs() -> Path | None:
    """Return the folder of `initdb` and `postgres`; the newest that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return None if on_path is None else Path(on_path).resolve().parent


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server and give its address; it ends with the block. Skips where none is installed."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    # It refuses to run as root, and its folder must be its own; the socket's path may have 107 bytes.
    user = "nobody" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="falaj-pg-", dir="/tmp"))
    try:
        if user is not None:
            shutil.chown(home, user)
        data = home / "data"
        initdb: list[str | Path] = [
            folder / "initdb",
            "-D",
            data,
            "-U",
            "falaj",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        subprocess.run(initdb, user=user, cwd=home, check=True, capture_output=True)
        options: list[str | Path] = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", home]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen([folder / "postgres", "-D", data, *options], user=user, cwd=home, stderr=log)
        url = f"postgresql://falaj@/postgres?host={home}"
        try:
            until(lambda: _answers(url), "PostgreSQL answers")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # the fast way down: it does not wait for its clients
            server.wait(STOP_S)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
