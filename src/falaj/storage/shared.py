"""The shared folder: what control and gateways of other machines all reach, and which project it is of.

    state folder/shared.id      the id; "ID moving" until everything was brought over
    shared folder/shared.json   the same id and the project's name, written last

A path that is mistyped, or a volume that is not mounted, has no mark: it is refused instead of being filled anew.
"""

import filecmp
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from falaj.kernel.errors import FalajError, ProjectError
from falaj.storage.blobs.local import LocalBlobs, check_digest
from falaj.storage.disk import failure, flush_folder, flush_path, write_atomically
from falaj.storage.eventlog.segments import FINISHED, finish_abandoned
from falaj.storage.folder import StateFolder

MARK = "shared.json"
_MOVING = " moving"
_ID_BYTES = 16

_log = logging.getLogger("falaj.storage")


class SharedMark(msgspec.Struct, frozen=True):
    """Whose a shared folder is.

    Attributes:
        id: The same as in the state folder of the project's control.
        project: The project's name, which gateways elsewhere are told too.
    """

    id: str
    project: str


def share(state: StateFolder, project: str, say: Callable[[str], None] = _log.warning) -> None:
    """Bring what lies in the state folder into the shared one, once, and tie the two to each other.

    Models are copied, and stay where they were; segments of the prediction log and counts are moved, because their
    names must not come twice. The caller holds the project.

    Args:
        state: The state folder.
        project: The project's name.
        say: Takes what was done, as a sentence.

    Raises:
        ProjectError: The shared folder is not the one that this project began with, or is another one's.
        StorageError: Something cannot be written.
    """
    own = _own(state)
    if state.shared is None:
        if own:
            raise ProjectError(
                f"the models of {state.path} are in a shared folder, and storage.shared is empty",
                hint=f"set storage.shared to it; or, to do without, copy its blobs, predictions and stats to "
                f"{state.own_blobs}, {state.own_predictions} and {state.own_stats}, and remove {state.shared_mark}",
            )
        return
    mark = read_mark(state.shared)
    if mark is not None and mark.id != own.removesuffix(_MOVING):
        raise ProjectError(
            f"storage.shared, {state.shared}, is of project {mark.project!r} with another state folder",
            hint="give this project a shared folder of its own, or restore that state folder",
        )
    if own and not own.endswith(_MOVING):
        if mark is None:
            raise ProjectError(
                f"storage.shared, {state.shared}, is not the folder that this project's models are in",
                hint=f"mount the volume or correct the path; where the folder was moved, {MARK} moves with it",
            )
        if mark.project != project:
            _write_mark(state.shared, SharedMark(own, project))
        return
    identity = own.removesuffix(_MOVING) or secrets.token_hex(_ID_BYTES)
    write_atomically(state.shared_mark, (identity + _MOVING).encode())
    _bring(state, say)
    _write_mark(state.shared, SharedMark(identity, project))
    write_atomically(state.shared_mark, identity.encode())


def is_to_be_filled(state: StateFolder) -> bool:
    """Return whether `share` would bring something into the shared folder, for which the project must be held."""
    own = _own(state)
    return state.shared is not None and (not own or own.endswith(_MOVING))


def refuse_foreign(state: StateFolder, project: str) -> None:
    """Return if the shared folder is the project's, for a gateway on a machine of its own.

    Args:
        state: The state folder of this machine.
        project: The project's name, as this gateway was told.

    Raises:
        ProjectError: The folder is not there, is no shared folder, or is another project's.
    """
    if state.shared is None:
        return
    mark = read_mark(state.shared)
    if mark is None:
        what = "is no shared folder of a project" if state.shared.is_dir() else "does not exist"
        raise ProjectError(
            f"storage.shared, {state.shared}, {what}",
            hint="mount what control has as storage.shared and correct FALAJ_STORAGE_SHARED; control makes it when it "
            "starts for the first time",
        )
    if mark.project != project:
        raise ProjectError(
            f"storage.shared, {state.shared}, is of project {mark.project!r}, and this gateway is of {project!r}",
            hint="correct FALAJ_PROJECT_NAME, which is control's [project] name, or FALAJ_STORAGE_SHARED",
        )


def read_mark(shared: Path) -> SharedMark | None:
    """Return whose a folder is; None where it has no mark.

    Raises:
        ProjectError: The mark is damaged, or may not be read.
    """
    try:
        return msgspec.json.decode((shared / MARK).read_bytes(), type=SharedMark)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ProjectError(
            f"{shared / MARK} cannot be read: {error}", hint="restore it, or look at its rights"
        ) from None


def _write_mark(shared: Path, mark: SharedMark) -> None:
    write_atomically(shared / MARK, msgspec.json.encode(mark), mode=0o644)


def _own(state: StateFolder) -> str:
    return state.shared_mark.read_text("ascii").strip() if state.shared_mark.exists() else ""


def _bring(state: StateFolder, say: Callable[[str], None]) -> None:
    try:
        for folder in (state.blobs, state.predictions, state.stats):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        copied = _copy_blobs(state.own_blobs, state.blobs)
        if state.own_predictions.is_dir() and not finish_abandoned(state.own_predictions):
            raise ProjectError(
                f"a gateway still writes in {state.own_predictions}", hint="stop it, so that its log can be moved"
            )
        moved = _move(state.own_predictions, state.predictions, FINISHED) + _move(state.own_stats, state.stats, "")
    except OSError as error:
        raise failure(error, f"cannot bring {state.path} into the shared folder {state.shared}") from error
    if copied:
        say(f"{copied} files of {state.own_blobs} were copied to {state.blobs}; the old ones are not needed any more")
    if moved:
        say(f"{moved} files of the prediction log and of counts were moved to {state.shared}")


def _copy_blobs(source: Path, target: Path) -> int:
    blobs, copied = LocalBlobs(target), 0
    for path in _blob_files(source):
        if not blobs.exists(path.name):
            blobs.put_file(path)
            copied += 1
    return copied


def _blob_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("??/*")):
        try:
            check_digest(path.name)
        except FalajError:
            continue
        yield path


def _move(source: Path, target: Path, ending: str) -> int:
    moved = 0
    for path in sorted(source.glob(f"*{ending}")):
        if not path.is_file():
            continue
        there = target / path.name
        if there.exists():  # a crash came between the copy and the end of the original
            if not there.samefile(path) and filecmp.cmp(path, there, shallow=False):
                path.unlink()
            continue
        part = target / f".{path.name}.{os.getpid()}.part"
        shutil.copyfile(path, part)
        part.chmod(0o600)
        flush_path(part)
        part.replace(there)
        flush_folder(target)
        path.unlink()
        moved += 1
    return moved
