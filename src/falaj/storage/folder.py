"""The state folder: what lies where in `.falaj/`, and who may work on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from falaj.kernel.settings import StorageSettings
from falaj.storage.disk import failure, refuse_network
from falaj.storage.filelock import FileLock


class StateFolder:
    """The layout of one project's state.

    Args:
        path: The folder, usually `.falaj` in the project.
        shared: Where what control and gateways exchange lies, if not in it.

    Example:
        >>> StateFolder(Path(".falaj")).db.as_posix()
        '.falaj/falaj.db'
    """

    def __init__(self, path: Path, shared: Path | None = None) -> None:
        self.path = path
        self.db = path / "falaj.db"
        self.database_mark = path / "database.id"
        self.mlflow_db = path / "mlflow.db"
        self.tables = path / "tables"
        self.shared = shared
        self.shared_mark = path / "shared.id"
        self.own_blobs = path / "blobs"
        self.blobs = shared / "blobs" if shared else self.own_blobs
        self.online = path / "online"
        self.log = path / "log"
        self.frames = path / "frames"
        self.run = path / "run"
        self.owner_token = path / "owner.token"
        self.own_predictions = self.log / "predictions"
        self.predictions = shared / "predictions" if shared else self.own_predictions
        self.own_stats = self.run / "stats"
        self.stats = shared / "stats" if shared else self.own_stats

    @classmethod
    def of(cls, folder: Path, storage: StorageSettings) -> Self:
        """Return the state folder of a project.

        Args:
            folder: The project's folder.
            storage: Its settings.

        Example:
            >>> StateFolder.of(Path("fraud"), StorageSettings(shared="/mnt/fraud")).predictions.as_posix()
            '/mnt/fraud/predictions'
        """
        return cls(folder / storage.path, folder / storage.shared if storage.shared else None)

    def create(self) -> None:
        """Make the folders that are absent, readable by their owner only; a shared one is made by `shared.share`.

        Raises:
            Unsupported: The folder is on a network file system.
            StorageError: It cannot be made.
        """
        refuse_network(self.path)
        try:
            for folder in (self.path, self.tables, self.online, self.log, self.frames, self.run):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
            for folder in () if self.shared else (self.blobs, self.predictions, self.stats):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise failure(error, f"cannot make the state folder {self.path}") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the project: one process at a time changes it.

        Raises:
            Locked: Another process holds it; the message names that process.
        """
        self.create()
        with FileLock(self.run / "project.lock", f"the project's state {self.path}"):
            yield
