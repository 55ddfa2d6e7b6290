"""Values of the operations on dataset."""

import msgspec


class BuildDataset(msgspec.Struct, frozen=True):
    """Ask for a training set as of now.

    Attributes:
        name: A model, or with rows to ask about, a feature service.
        frame: The name under which rows are kept in the project's state folder; empty for none.
        sql: A SELECT over the project's sources that gives the rows; empty for none.
        known_time: Take only what was known at each row's instant.
        engine: What computes the features; the settings' engine when empty.
    """

    name: str
    frame: str = ""
    sql: str = ""
    known_time: bool = False
    engine: str = ""


class DatasetsQuery(msgspec.Struct, frozen=True):
    """Which datasets to list; an empty name for all."""

    name: str = ""


class ShowDataset(msgspec.Struct, frozen=True):
    """Which dataset to show."""

    digest: str
