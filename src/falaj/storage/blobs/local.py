"""Blobs as files of a folder."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from falaj.kernel.digest import digest_bytes, digest_file
from falaj.kernel.errors import CorruptionError, InputError, NotFound
from falaj.storage.disk import failure, flush_file, flush_folder, write_all

_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_digest(digest: str) -> str:
    """Return the digest if it is one; anything else could name a file outside the store.

    Raises:
        InputError: It is not 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.fullmatch(digest):
        raise InputError(f"{digest!r} is not a digest", hint="give 64 lower-case hexadecimal digits")
    return digest


class LocalBlobs:
    """A folder of files named by digest, two levels deep so that no folder grows large.

    Args:
        root: The folder; made when absent.

    Example:
        >>> folder = tempfile.TemporaryDirectory()
        >>> blobs = LocalBlobs(Path(folder.name))
        >>> blobs.get(blobs.put(b"model"))
        b'model'
        >>> folder.cleanup()
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._checked: set[str] = set()

    def put(self, data: bytes) -> str:
        """Keep the bytes durably and return their digest."""
        digest = digest_bytes(data)
        if not self.exists(digest):
            with self._incoming(digest) as fd:
                write_all(fd, data)
        return digest

    def put_file(self, path: Path) -> str:
        """Keep a copy of the file's bytes durably and return their digest."""
        try:
            digest = digest_file(path)
            if not self.exists(digest):
                with path.open("rb") as source, self._incoming(digest) as fd, os.fdopen(os.dup(fd), "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        except FileNotFoundError:
            raise NotFound(f"file {path} does not exist") from None
        except OSError as error:
            raise failure(error, f"cannot keep file {path}") from error
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against their digest."""
        try:
            data = self._file(digest).read_bytes()
        except FileNotFoundError:
            raise _absent(digest) from None
        except OSError as error:
            raise failure(error, f"cannot read blob {digest}") from error
        if digest_bytes(data) != digest:
            raise _damaged(digest)
        return data

    def path(self, digest: str) -> Path:
        """Return the file with the bytes, checked once per process."""
        file = self._file(digest)
        if digest in self._checked and file.exists():
            return file
        try:
            found = digest_file(file)
        except FileNotFoundError:
            raise _absent(digest) from None
        except OSError as error:
            raise failure(error, f"cannot read blob {digest}") from error
        if found != digest:
            raise _damaged(digest)
        self._checked.add(digest)
        return file

    def exists(self, digest: str) -> bool:
        """Return whether the store has the bytes."""
        return self._file(digest).exists()

    def delete(self, digest: str) -> None:
        """Remove the bytes; removing what is absent is harmless."""
        file = self._file(digest)
        self._checked.discard(digest)
        if file.exists():
            file.unlink(missing_ok=True)
            flush_folder(file.parent)

    def _file(self, digest: str) -> Path:
        check_digest(digest)
        return self._root / digest[:2] / digest

    @contextmanager
    def _incoming(self, digest: str) -> Iterator[int]:
        target = self._file(digest)
        temporary = ""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fd, temporary = tempfile.mkstemp(dir=self._root, prefix=".incoming-")
            try:
                yield fd
                os.fchmod(fd, 0o400)
                flush_file(fd)
            finally:
                os.close(fd)
            if digest_file(Path(temporary)) != digest:  # the source file changed between digest and copy
                raise CorruptionError(f"blob {digest} changed while it was being kept", hint="try again")
            Path(temporary).replace(target)
            flush_folder(target.parent)
            flush_folder(self._root)
        except OSError as error:
            raise failure(error, f"cannot keep blob {digest}") from error
        finally:
            if temporary:
                Path(temporary).unlink(missing_ok=True)


def _absent(digest: str) -> NotFound:
    return NotFound(f"blob {digest} does not exist", hint="its store was emptied or the digest is from another project")


def _damaged(digest: str) -> CorruptionError:
    return CorruptionError(
        f"blob {digest} does not have the bytes of its digest", hint="restore it from a backup; it is not used as it is"
    )
