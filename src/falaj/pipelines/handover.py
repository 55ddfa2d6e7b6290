"""Handover: what a step gives, as a folder that another container can be given.

`outputs.json` says what there is, `blobs/DIGEST` are the files. The encoding is that of `values`: JSON, Arrow and the
models' own formats; nothing is pickled.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from falaj.kernel.codec import to_json
from falaj.kernel.digest import digest_file
from falaj.kernel.errors import DataError
from falaj.pipelines.arguments import gathered
from falaj.pipelines.outputs import Output, Outputs

EMPTY_PART = -1
"""The one part of a step that goes over nothing: what is skipped and what is empty must leave word, too."""
_FILE, _BLOBS = "outputs.json", "blobs"


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which part of a step that goes over lists.

    Attributes:
        at: Its place; `EMPTY_PART` where there is none.
        of: How many there are.
        shape: How many each list has, where there are lists of lists.
    """

    at: int
    of: int = 0
    shape: tuple[int, ...] | None = None


class Handover(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step gave.

    Attributes:
        outputs: Its outputs by name.
        skipped: Whether it was not run.
        part: Which part of a step it is from; None for a whole one.
    """

    outputs: Outputs = {}
    skipped: bool = False
    part: Part | None = None


def write_handover(
    folder: Path, returned: Mapping[str, Any], *, skipped: bool = False, part: Part | None = None
) -> Outputs:
    """Write what a step function returned.

    Args:
        folder: Written anew.
        returned: Plain values, and paths of files, by name.
        skipped: Whether it was not run.
        part: Which part of a step it is from; None for a whole one.

    Returns:
        The outputs, files by digest.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / _BLOBS).mkdir(parents=True)
    outputs = {
        name: _kept(folder, value) if isinstance(value, Path) else Output(value=value)
        for name, value in returned.items()
    }
    (folder / _FILE).write_text(to_json(Handover(outputs, skipped, part)), encoding="utf-8")
    return outputs


def read_handover(folder: Path) -> Handover:
    """Return what a step gave.

    Raises:
        DataError: The folder holds nothing of that kind.
    """
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Handover)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(
            f"{folder} holds no outputs of a step: {error}", hint="let the step that makes them run again"
        ) from None


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files of a handover by digest."""
    return {path.name: path for path in sorted((folder / _BLOBS).glob("*"))}


def gather_handovers(parts: Iterable[Path], into: Path) -> Handover:
    """Write what the parts of a step gave as what the step gave, in the order of the list.

    Args:
        parts: A folder each, in any order.
        into: Written anew.

    Raises:
        DataError: A part is missing, or is none.
    """
    read = [(read_handover(folder), folder) for folder in parts]
    at = {one.part.at: (one, folder, one.part) for one, folder in read if one.part is not None}
    if not at or len(at) < len(read) or {part.of or 1 for _, _, part in at.values()} != {len(read)}:
        raise DataError(f"parts {sorted(at)} are there, and not all of a list", hint="let the step run again")
    skipped = any(one.skipped for one, _ in read)
    returned: dict[str, Any] = {}
    if not skipped:
        whole = [at[place] for place in sorted(at) if place != EMPTY_PART]
        files = {digest: path for _, folder, _ in whole for digest, path in files_in(folder).items()}
        shape = next(part.shape for _, _, part in at.values())
        together = gathered([one.outputs for one, _, _ in whole], shape)
        returned = {name: out.value if out.blob is None else files[out.blob] for name, out in together.items()}
    return Handover(write_handover(into, returned, skipped=skipped), skipped)


def _kept(folder: Path, path: Path) -> Output:
    digest = digest_file(path)
    kept = folder / _BLOBS / digest
    if not kept.exists():
        try:
            os.link(path.resolve(), kept)
        except OSError:
            shutil.copyfile(path, kept)  # from another file system
    return Output(blob=digest, size_bytes=path.stat().st_size)
