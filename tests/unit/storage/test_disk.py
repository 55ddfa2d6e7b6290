"""Plain words for what disks do."""

import errno
import os
from pathlib import Path

import pytest

from falaj.kernel.errors import DiskFull, StorageError, Unsupported
from falaj.storage.disk import failure, refuse_network, write_atomically

MOUNTS = """\
sysfs /sys sysfs rw 0 0
/dev/vda / ext4 rw 0 0
server:/home {root}/home nfs4 rw 0 0
//server/share {root}/with\\040space cifs rw 0 0
me@host: {root}/home/ssh fuse.sshfs rw 0 0
tmpfs {root}/home/scratch tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("home", "nfs4"), ("home/deep/down", "nfs4"), ("with space/x", "cifs"), ("home/ssh/x", "fuse.sshfs")],
)
def test_network_file_systems_are_refused_by_name(tmp_path: Path, folder: str, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(root=tmp_path))
    with pytest.raises(Unsupported, match=kind) as caught:
        refuse_network(tmp_path / folder, mounts=mounts)
    assert str(tmp_path / folder) in str(caught.value)
    assert "storage.path" in caught.value.hint


@pytest.mark.parametrize("folder", ["", "homely", "home/scratch/x", "local"])
def test_local_disks_are_taken(tmp_path: Path, folder: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(root=tmp_path))
    refuse_network(tmp_path / folder, mounts=mounts)


def test_where_nobody_tells_nothing_is_refused(tmp_path: Path) -> None:
    refuse_network(tmp_path, mounts=tmp_path / "absent")


def test_a_link_to_a_network_file_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(root=tmp_path))
    with pytest.raises(Unsupported):
        refuse_network(tmp_path / "link" / "state", mounts=mounts)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_space_is_said_plainly(number: int) -> None:
    assert isinstance(failure(OSError(number, os.strerror(number)), "cannot write"), DiskFull)


def test_other_failures_are_the_disks() -> None:
    error = failure(OSError(errno.EIO, "Input/output error"), "cannot write x")
    assert type(error) is StorageError
    assert str(error) == "cannot write x: Input/output error"


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "owner.token"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["owner.token"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="taken"):
        write_atomically(tmp_path / "taken", b"x")
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]
