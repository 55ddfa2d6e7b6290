"""What local disks demand of everybody who keeps bytes on them: flushing, atomic files, plain words when they fail."""

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from falaj.kernel.errors import DiskFull, InputError, StorageError, Unsupported

if sys.platform == "darwin":
    import fcntl

MOUNTS = Path("/proc/self/mounts")
_NETWORK_TYPES = frozenset(
    {"9p", "afs", "beegfs", "blobfuse2", "ceph", "cifs", "coda", "davfs", "gcsfuse", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "rclone", "s3fs", "smb3", "smbfs", "sshfs"}
)
_LITTLE_BYTES = 64 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def flush_file(fd: int) -> None:
    """Return when the file's bytes and length would survive a power cut."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync there leaves the bytes in the drive's cache
    else:
        os.fdatasync(fd)


def flush_path(path: Path) -> None:
    """Return when the file that somebody else wrote would survive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        flush_file(fd)
    finally:
        os.close(fd)


def flush_folder(folder: Path) -> None:
    """Return when the names made, renamed and removed in the folder would survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte; the kernel may take a part only when the disk is nearly full."""
    view = memoryview(data)
    written = os.write(fd, view)
    while written < len(view):
        written += os.write(fd, view[written:])


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace the file's content durably: readers see the old bytes or the new ones, never a part.

    Raises:
        DiskFull: No space is left; the old content stays.
        StorageError: The disk failed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            write_all(fd, data)
            flush_file(fd)
        finally:
            os.close(fd)
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise failure(error, f"cannot write {path}") from error


def failure(error: OSError, what: str) -> StorageError:
    """Return the error to raise for what the operating system said.

    Example:
        >>> failure(OSError(errno.ENOSPC, "No space left on device"), "cannot write the log").code
        'disk_full'
    """
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return DiskFull(f"{what}: {reason}", hint="free some space; nothing acknowledged was lost")
    return StorageError(f"{what}: {reason}", hint="look at the disk and the folder's permissions")


def lacks_room(folder: Path) -> bool:
    """Return whether the disk of a folder is full, or nearly: less is left than a database needs to be opened."""
    try:
        return shutil.disk_usage(folder).free < _LITTLE_BYTES
    except OSError:
        return False


@contextmanager
def chosen_path(path: Path) -> Iterator[None]:
    """Say plainly why the path that a person chose cannot be written, while the block tries.

    Raises:
        DiskFull: No space is left.
        InputError: The path is a folder, its folder does not exist, or it may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise failure(error, f"cannot write {path}") from error
        raise InputError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}",
            hint="choose a place in a folder that exists and that you may write to",
        ) from error


@contextmanager
def given_file(path: Path) -> Iterator[None]:
    """Say plainly why the file that a person gave cannot be read, while the block tries.

    Raises:
        InputError: The file does not exist, is a folder, or may not be read.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}", hint="give a file that you may read"
        ) from error


def refuse_network(path: Path, *, mounts: Path = MOUNTS) -> None:
    """Check that the path is on a disk of this machine.

    SQLite's write-ahead log, LMDB and flock need memory and locks that network file systems do not share faithfully;
    on one of those the stores would corrupt silently. Only Linux tells the type; elsewhere nothing is refused.

    Raises:
        Unsupported: The path is on a network file system.
    """
    kind = _filesystem(path, mounts)
    if kind.removeprefix("fuse.") in _NETWORK_TYPES:
        raise Unsupported(
            f"{path} is on a network file system ({kind})",
            hint="set storage.path in falaj.toml to a folder on a local disk",
        )


def _filesystem(path: Path, mounts: Path) -> str:
    target = os.path.realpath(path)
    best, kind = "", ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of equal ones the later mount covers the earlier
            best, kind = point, fields[2]
    return kind
