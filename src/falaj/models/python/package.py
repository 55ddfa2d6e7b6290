"""PythonPackage: a user's class with its code and files, as one blob that is pinned by its digest."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from falaj.kernel.errors import CorruptionError, DataError, NotFound
from falaj.storage.disk import failure

MOST_BYTES = 1 << 30
"""A package is one blob, read into memory as a whole."""

_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PICKLED = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"})


class PythonPackage(msgspec.Struct, frozen=True):
    """What a model's process needs.

    Attributes:
        entry: The class, as `module:Class`; the module is one of the files.
        params: What the class is made with.
        files: Path to bytes, code and weights alike.

    Example:
        >>> package = PythonPackage("net:Net", {}, {"net.py": b"class Net: ..."})
        >>> PythonPackage.decode(package.encode()) == package
        True
    """

    entry: str
    params: dict[str, Any]
    files: dict[str, bytes]

    def encode(self) -> bytes:
        """Return the package as bytes, the same for the same content."""
        ordered = msgspec.structs.replace(self, files=dict(sorted(self.files.items())))
        return msgspec.msgpack.encode(ordered)

    @classmethod
    def decode(cls, raw: bytes, name: str = "model") -> "PythonPackage":
        """Return the package of bytes.

        Raises:
            CorruptionError: They are no package, or a file of it would be written outside its folder.
        """
        try:
            package = msgspec.msgpack.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise CorruptionError(
                f"artifact {name} is no Python model: {error}", hint="restore it from a backup"
            ) from None
        if not _ENTRY.fullmatch(package.entry) or not all(_is_inside(path) for path in package.files):
            raise CorruptionError(f"artifact {name} is no Python model", hint="restore it from a backup")
        return package

    def write(self, folder: Path) -> None:
        """Write the files below a folder.

        Raises:
            StorageError: The disk failed.
        """
        try:
            for name, content in self.files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        except OSError as error:
            raise failure(error, f"cannot unpack a Python model into {folder}") from error


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, by path; hidden ones and compiled code are left out.

    Raises:
        NotFound: There is no such folder.
        DataError: It holds a link, a pickle, or more than a gibibyte.
    """
    if not folder.is_dir():
        raise NotFound(f"folder {folder} does not exist", hint="give the folder with the class and its files")
    files: dict[str, bytes] = {}
    size = 0
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") or part == "__pycache__" for part in inside.parts) or path.suffix == ".pyc":
            continue
        if path.is_symlink():
            raise DataError(f"{inside} in {folder} is a link", hint="put the file itself there")
        if path.suffix in _PICKLED:
            raise DataError(
                f"{inside} in {folder} is a pickle, which runs whatever code it holds when it is read",
                hint="save weights as safetensors, ONNX or NumPy's .npy, and scikit-learn estimators by skops",
            )
        if path.is_file():
            size += path.stat().st_size
            if size > MOST_BYTES:
                raise DataError(
                    f"folder {folder} holds more than {MOST_BYTES >> 20} MiB", hint="leave out what it does not need"
                )
            files[inside.as_posix()] = path.read_bytes()
    return files


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name
