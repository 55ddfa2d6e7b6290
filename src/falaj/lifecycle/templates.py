"""Project templates: the files that `falaj init` writes into a new folder."""

import csv
import gzip
import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from falaj.kernel.errors import Conflict, DataError, InputError, NotFound
from falaj.kernel.names import did_you_mean
from falaj.kernel.settings import PROJECT_FILE, ProjectSettings
from falaj.kernel.version import __version__
from falaj.lifecycle.hub import Offer, Shown, add, find, offers, template_files
from falaj.lifecycle.project import begin_project, definition_files
from falaj.storage.disk import chosen_path

_DATA_PLACE = '"@DATA@"'
"""Stands in a template's files where the path of the user's data file goes, as a TOML string."""


class Variant(NamedTuple):
    """One form of a template, for one layout of data.

    Attributes:
        parts: The folders whose files it writes.
        columns: The columns that the user's file must have; none for the variant that makes its own data.
    """

    parts: tuple[str, ...]
    columns: tuple[str, ...] = ()


TEMPLATES: dict[str, dict[str, Variant]] = {
    "fraud": {
        "generated": Variant(("timed", "generated")),
        "stream": Variant(
            ("timed", "stream"),
            ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"),
        ),
        "timeless": Variant(
            ("timeless",),
            (
                "transaction_id",
                "amount",
                "transaction_hour",
                "merchant_category",
                "foreign_transaction",
                "location_mismatch",
                "device_trust_score",
                "velocity_last_24h",
                "cardholder_age",
                "is_fraud",
            ),
        ),
    },
    "demand": {
        "generated": Variant(("hours", "generated")),
        "hourly": Variant(
            ("hours", "hourly"),
            ("dteday", "hr", "weekday", "workingday", "temp", "hum", "windspeed", "cnt"),
        ),
    },
}


def write_template(name: str, target: Path, data: Path | None = None) -> list[Path]:
    """Write a template's files into a new folder.

    Args:
        name: The template's name.
        target: The folder to make; it may exist if it is empty.
        data: The user's Parquet or CSV file, whose columns choose the variant; None for generated data.

    Returns:
        The files written, in order of name.

    Raises:
        NotFound: There is no such template, here or in an installed package, or no such data file.
        Conflict: The target is not an empty folder.
        InputError: No variant understands the data file's columns, the target cannot be written, or a package's
            template makes no project.
        DiskFull: No space is left.
        DataError: The data file cannot be read.
    """
    if name not in TEMPLATES:
        return _write_shared(name, target, data)
    variant = choose_variant(name, data)
    _refuse_taken(target)
    root = files("falaj") / "templates" / name
    parts = (root / part for part in TEMPLATES[name][variant].parts)
    with chosen_path(target):
        target.mkdir(parents=True, exist_ok=True)
        return sorted(_write_file(file, target, data) for part in parts for file in part.iterdir() if file.is_file())


def show_own(name: str) -> Shown | None:
    """Return what a template of Falaj's own says of itself, in its form that makes its own data; None without one.

    Args:
        name: Its name, or `falaj:name`.

    Example:
        >>> show_own("demand").files
        ('README.md', 'demand.py', 'falaj.toml', 'generate.py', 'phases.py', 'prepare.py', 'prepare.toml')
    """
    package, _, last = name.rpartition(":")
    if last not in TEMPLATES or package not in ("", "falaj"):
        return None
    root = files("falaj") / "templates" / last
    parts = (root / part for part in TEMPLATES[last][choose_variant(last, None)].parts)
    found = {file.name: file for part in parts for file in part.iterdir() if file.is_file()}
    told = found["README.md"].read_text(encoding="utf-8").strip()
    offer = Offer("template", last, "falaj", __version__, "", f"falaj.templates.{last}", "a template of Falaj's own")
    documentation = f"{told}\n\nWith --data FILE it takes a file with {_layouts(last)}."
    return Shown(offer, documentation, files=tuple(sorted(found)))


def template_of(data: Path) -> str:
    """Return the template of Falaj's own that understands a data file's columns.

    Raises:
        NotFound: The file does not exist.
        InputError: None understands its columns; the message lists them and the layouts.
        DataError: The file cannot be read.
    """
    found = set(read_columns(data))
    fitting = [
        name
        for name, variants in TEMPLATES.items()
        for variant in variants.values()
        if variant.columns and set(variant.columns) <= found
    ]
    if not fitting:
        layouts = "; or ".join(_layouts(name) for name in TEMPLATES)
        raise InputError(
            f"{data} has the columns {', '.join(sorted(found)) or '(none)'}, which no template understands",
            hint=f"give a file with {layouts}; or write definitions of your own beside it, and run 'falaj init' there",
        )
    return fitting[0]


def _layouts(name: str) -> str:
    return "; or ".join(", ".join(one.columns) for one in TEMPLATES[name].values() if one.columns)


def _write_shared(name: str, target: Path, data: Path | None) -> list[Path]:
    """Write a template that an installed package offers."""
    known = [offer for offer in offers() if offer.kind == "template"]
    if not any(name in (offer.name, f"{offer.package}:{offer.name}") for offer in known):
        names = [*TEMPLATES, *(offer.name for offer in known)]
        raise NotFound(f"template {name!r} does not exist", hint=did_you_mean(name, names))
    if data is not None:
        raise InputError(f"template {name!r} takes no data file", hint="leave --data out, and look into its README.md")
    _refuse_taken(target)
    offer = find(known, name)
    files = template_files(offer)
    lacks_settings = all(file.name != PROJECT_FILE for file in files)
    if lacks_settings and not (files and definition_files(files[0].parent, ProjectSettings())):
        raise InputError(
            f"template {name!r} of {offer.package} has no {PROJECT_FILE} and no definitions: it makes no project",
            hint=f"write its files into a project that you have: falaj hub add {name}",
        )
    written = add(offer, target).written
    begun = begin_project(target) if lacks_settings else None
    return sorted([*written, begun]) if begun else written


def _refuse_taken(target: Path) -> None:
    if target.exists() and not (target.is_dir() and next(target.iterdir(), None) is None):
        what = "is not empty" if target.is_dir() else "is not a folder"
        raise Conflict(
            f"{target} {what}",
            hint="name a new folder, or write a Python file that says 'import falaj as fj', or a YAML file that says "
            "'falaj: 1', and run 'falaj init' there",
        )


def _write_file(file: Traversable, target: Path, data: Path | None) -> Path:
    text = file.read_text(encoding="utf-8")
    if data is not None:
        # a JSON string is a TOML string too, as long as characters beyond ASCII stay as they are
        text = text.replace(_DATA_PLACE, json.dumps(str(data.resolve()), ensure_ascii=False))
    path = target / file.name
    path.write_text(text, encoding="utf-8")
    return path


def choose_variant(name: str, data: Path | None) -> str:
    """Return the variant of a template that understands the data file's columns.

    Raises:
        NotFound: The file does not exist.
        InputError: No variant understands its columns; the message lists them and the layouts.
        DataError: The file cannot be read.
    """
    variants = TEMPLATES[name]
    if data is None:
        return next(key for key, variant in variants.items() if not variant.columns)
    found = read_columns(data)
    for key, variant in variants.items():
        if variant.columns and set(variant.columns) <= set(found):
            return key
    raise InputError(
        f"{data} has the columns {', '.join(found) or '(none)'}, which template {name!r} does not understand",
        hint=f"give a file with {_layouts(name)}; or leave the file out for generated data",
    )


def read_columns(data: Path) -> list[str]:
    """Return the column names of a Parquet file, or of a CSV file (plain or gzip) with a header line.

    Raises:
        NotFound: The file does not exist.
        DataError: It cannot be read.
    """
    if not data.is_file():
        raise NotFound(f"data file {data} does not exist", hint="give the path of a Parquet or CSV file")
    try:
        if data.suffix == ".parquet":
            return list(pq.read_schema(data).names)
        opened = gzip.open if data.suffix == ".gz" else open
        with opened(data, "rt", encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{data} cannot be read: {error}", hint="give a Parquet or CSV file") from None
