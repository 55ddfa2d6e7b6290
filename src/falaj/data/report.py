"""What ingestion says it did."""

from collections.abc import Sequence

import msgspec

from falaj.kernel.errors import DataError


class FileReport(msgspec.Struct, frozen=True):
    """One file.

    Attributes:
        path: The file, relative to the project where it lies in it.
        digest: SHA-256 of its bytes.
        rows: Rows read, lines that are not rows included.
        accepted: Rows that entered the source's table.
        quarantined: Rows that entered the quarantine table, with reasons.
        warnings: Reason to number of rows that a warning check found.
        first_seq: The first of the `rows` numbers that the file's rows have, in the file's order; 0 without rows.
        table_version: The version of the source's table that first holds them; None where it has no table yet.
        skipped: Whether a file of this content had been ingested before; the numbers are those of that time.
    """

    path: str
    digest: str
    rows: int
    accepted: int
    quarantined: int
    warnings: dict[str, int]
    first_seq: int
    table_version: int | None
    skipped: bool = False


class RefusedFile(msgspec.Struct, frozen=True):
    """A file of which nothing was taken.

    Attributes:
        path: The file, relative to the project where it lies in it.
        error: Why, with source, file, column, and what was expected.
        hint: What to do.
    """

    path: str
    error: str
    hint: str


class IngestReport(msgspec.Struct, frozen=True):
    """One ingestion of a source.

    Attributes:
        source: The source's name.
        files: One report per file that was taken, in the order of their names.
        refused: The others; their rows come in, and after those of the others, when the files are mended.
    """

    source: str
    files: list[FileReport]
    refused: list[RefusedFile] = []

    @property
    def rows(self) -> int:
        """Rows read now, without those of skipped files."""
        return sum(file.rows for file in self.files if not file.skipped)

    @property
    def accepted(self) -> int:
        """Rows accepted now."""
        return sum(file.accepted for file in self.files if not file.skipped)

    @property
    def quarantined(self) -> int:
        """Rows quarantined now."""
        return sum(file.quarantined for file in self.files if not file.skipped)


def refuse_incomplete(refused: Sequence[RefusedFile]) -> None:
    """Raise if a file was refused.

    Raises:
        DataError: One was; the message names the first.
    """
    if refused:
        first, more = refused[0], len(refused) - 1
        counted = f"; {more} more {'file was' if more == 1 else 'files were'} refused" if more else ""
        raise DataError(f"{first.error}{counted}", hint=first.hint)


class Partition(msgspec.Struct, frozen=True):
    """How far one partition was taken.

    Attributes:
        name: The partition; of a followed file, the path that it first had, and a mark of its first line.
        taken: Where to go on, for a file in bytes.
        end: Where it ends now; None where it is not there any more.
    """

    name: str
    taken: int
    end: int | None = None


class FeedState(msgspec.Struct, frozen=True):
    """How far a source's feed was taken.

    Attributes:
        partitions: Its partitions, by name.
        problems: What a person calls it to what keeps it from being taken, or was lost of it.
    """

    partitions: tuple[Partition, ...] = ()
    problems: dict[str, str] = {}
