"""The state folder and who holds it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from falaj.kernel.errors import Locked, StorageError
from falaj.storage.filelock import FileLock
from falaj.storage.folder import StateFolder

HOLD = """
import sys
from pathlib import Path
from falaj.storage.folder import StateFolder
with StateFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_everything_in_it_is_private(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / ".falaj")
    folder.create()
    folder.create()
    for part in (folder.path, folder.tables, folder.blobs, folder.online, folder.log, folder.run):
        assert part.stat().st_mode & 0o777 == 0o700
    assert folder.db.parent == folder.mlflow_db.parent == folder.owner_token.parent == folder.path


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / ".falaj").write_text("not a folder")
    with pytest.raises(StorageError, match=r"\.falaj"):
        StateFolder(tmp_path / ".falaj").create()


def test_two_in_one_process_are_refused(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with folder.lock(), pytest.raises(Locked, match=f"process {os.getpid()}"), StateFolder(tmp_path).lock():
        pass
    with folder.lock():
        pass


def test_another_process_is_named_and_frees_the_lock_by_dying(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Locked, match=f"process {holder.pid}") as caught, StateFolder(tmp_path).lock():
            pass
        assert str(tmp_path) in str(caught.value)
        assert caught.value.retryable
        holder.kill()
        holder.wait()
    with StateFolder(tmp_path).lock():
        pass


def test_a_lock_is_let_go_when_its_holder_fails(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock", "the test")
    with pytest.raises(ZeroDivisionError), lock:
        assert lock.held
        _ = 1 / 0
    assert not lock.held
    lock.release()
    with lock:
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_without_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        FileLock(tmp_path / "absent" / "lock", "the test").acquire()
