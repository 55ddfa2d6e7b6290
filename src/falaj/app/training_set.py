"""TrainingSet: a dataset that was just built, given as what you work with."""

import shutil
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from falaj.app.client import Client
from falaj.app.frame import Frame
from falaj.app.values.dataset import BuildDataset
from falaj.data.dataset import Dataset
from falaj.data.frames import Frames
from falaj.data.given_frame import open_frame
from falaj.data.sql_frame import is_sql
from falaj.kernel.codec import to_json
from falaj.kernel.errors import InputError
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.disk import chosen_path, flush_folder, flush_path
from falaj.storage.folder import StateFolder

if TYPE_CHECKING:
    import pandas as pd

MARK = "_dataset.json"
"""Written into a folder of parts when the last part is there."""


class TrainingSet:
    """A training set: rows with features as of their instants. It is read from the disk when it is asked for.

    Args:
        dataset: Its description.
        path: The Parquet file that keeps it; it must not be written to.

    Attributes:
        dataset: Its description: what it was made from, by whom, when.
    """

    def __init__(self, dataset: Dataset, path: Path) -> None:
        self.dataset = dataset
        self._path = path

    @property
    def digest(self) -> str:
        """The dataset's digest, the same wherever the same is asked of the same rows."""
        return self.dataset.digest

    @cached_property
    def table(self) -> pa.Table:
        """All rows, in memory."""
        return pq.read_table(self._path)

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table."""
        return self.table

    def to_pandas(self) -> "pd.DataFrame":
        """Return a pandas data frame; whole numbers and truth values with nulls are nullable, see `Frame`."""
        return Frame(self.table).to_pandas()

    def to_polars(self) -> Any:
        """Return a Polars data frame.

        Raises:
            ExtraMissing: Polars is not installed.
        """
        return Frame(self.table).to_polars()

    def to_parquet(self, target: str | Path) -> list[Path]:
        """Write the rows as one Parquet file, or as a folder of parts; a part at a time is in memory.

        Every file appears whole or not at all. Of a folder, parts that are there already are kept, so that a call that
        was cut short is finished by the same call; `_dataset.json` appears last.

        Args:
            target: A file that ends with `.parquet`, or a folder.

        Returns:
            The files.

        Raises:
            InputError: The place cannot be written, or the folder holds parts of another dataset.
            DiskFull: No space is left.
        """
        target = Path(target)
        with chosen_path(target):
            return [self._file(target)] if target.suffix == ".parquet" else self._parts(target)

    def __len__(self) -> int:
        return self.dataset.rows

    def __repr__(self) -> str:
        return f"TrainingSet({self.dataset.rows} rows: {', '.join(self.dataset.columns)})"

    def _file(self, target: Path) -> Path:
        _appear(target, lambda part: shutil.copyfile(self._path, part))
        return target

    def _parts(self, folder: Path) -> list[Path]:
        source = pq.ParquetFile(self._path)
        parts = max(1, source.num_row_groups)
        wanted = [folder / f"part-{i:05}-{self.digest[:12]}.parquet" for i in range(parts)]
        folder.mkdir(exist_ok=True)
        other = sorted({path.name for path in folder.glob("*.parquet")} - {path.name for path in wanted})
        if other:
            raise InputError(f"{folder} holds {other[0]}, which is not of this dataset", hint="choose an empty folder")
        for i, path in enumerate(wanted):
            if not path.exists():
                table = source.read_row_groups([i] if source.num_row_groups else [])
                _appear(path, partial(pq.write_table, table, compression="zstd"))
        about = {"digest": self.digest, "rows": len(self), "parts": [path.name for path in wanted]}
        _appear(folder / MARK, lambda part: part.write_text(to_json(about, indent=2) + "\n", "utf-8"))
        return wanted


def build_training_set(
    client: Client,
    name: str,
    frame: Any = None,
    *,
    known_time: bool = False,
    engine: str = "",
    kept: Callable[[Frames, str], None] = lambda _frames, _name: None,
) -> tuple[Dataset, Path]:
    """Build a training set; rows that were given are handed over in the project's state folder.

    Args:
        client: Who asks, and where.
        name: A model or a feature service.
        frame: The rows to ask about; None for the model's known labels.
        known_time: Take only what was known at each row's instant.
        engine: What computes the features; the settings' engine by default.
        kept: Called with the place and the name of the rows when they are handed over, before features are computed.

    Returns:
        The dataset and the file that keeps it.
    """
    wanted = BuildDataset(name, known_time=known_time, engine=engine)
    state = StateFolder.of(client.folder, client.settings.storage)
    if frame is None:
        made = client.perform("dataset.build", wanted, Dataset)
    elif isinstance(frame, str) and is_sql(frame):
        made = client.perform("dataset.build", _with(wanted, sql=frame), Dataset)
    else:
        rows = open_frame(frame)
        state.create()
        frames = Frames(state.frames)
        with frames.keep(rows) as handed:
            kept(frames, handed)
            made = client.perform("dataset.build", _with(wanted, frame=handed), Dataset)
    return made, LocalBlobs(state.blobs).path(made.blob)


def _with(wanted: BuildDataset, **changes: str) -> BuildDataset:
    return msgspec.structs.replace(wanted, **changes)


def _appear(path: Path, write: Callable[[Path], object]) -> None:
    """Make a file that nobody ever sees in part: written under another name, flushed, then renamed."""
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        flush_path(part)
        part.replace(path)
        flush_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)
