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


class PostgresServer:
    """A server that a test may stop and start.

    Args:
        folder: Of its programs.
        home: A folder of its own.
        password: Asked of its user; empty for none.

    Attributes:
        url: Where it answers, without the password.
    """

    def __init__(self, folder: Path, home: Path, password: str) -> None:
        # It refuses to run as root, and its folder must be its own; the socket's path may have 107 bytes.
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(home, self._user)
        self._folder, self._home, self._password = folder, home, password
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://falaj@/postgres?host={home}"
        self._make()

    def _make(self) -> None:
        secret = self._home / "password"
        secret.write_text(self._password or "none")
        secret.chmod(0o644)
        words: list[str | Path] = [self._folder / "initdb", "-D", self._home / "data", "-U", "falaj", "-E", "UTF8"]
        words += ["-A", "scram-sha-256" if self._password else "trust", "--pwfile", secret, "--locale=C", "-N"]
        subprocess.run(words, user=self._user, cwd=self._home, check=True, capture_output=True)

    def start(self) -> None:
        """Start it, and return when it answers."""
        words: list[str | Path] = [self._folder / "postgres", "-D", self._home / "data", "-k", self._home]
        words += ["-c", "listen_addresses=", "-c", "fsync=off"]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(words, user=self._user, cwd=self._home, stderr=log)
        until(lambda: _answers(self.url, self._password), "PostgreSQL answers")

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT is the fast way down, which does not wait for clients; SIGQUIT leaves it to recover."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(STOP_S)
            self._process = None


@contextmanager
def postgres_server(password: str = "") -> Iterator[str]:
    """Start a server and give its address; it ends with the block. Skips where none is installed."""
    with restartable_postgres(password) as server:
        yield server.url


@contextmanager
def restartable_postgres(password: str = "") -> Iterator[PostgresServer]:
    """Start a server; it ends with the block. Skips where none is installed."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    home = Path(tempfile.mkdtemp(prefix="falaj-pg-", dir="/tmp"))
    try:
        server = PostgresServer(folder, home, password)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _answers(url: str, password: str) -> bool:
    try:
        psycopg.connect(url, password=password or None).close()
    except psycopg.OperationalError:
        return False
    return True
