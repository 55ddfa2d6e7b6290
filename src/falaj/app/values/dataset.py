"""Values of the operations on dataset."""

import msgspec


class BuildDataset(msgspec.Struct, frozen=True):
    """Ask for a model's training set as of now."""

    model: str


class DatasetsQuery(msgspec.Struct, frozen=True):
    """Which datasets to list; an empty name for all."""

    name: str = ""


class ShowDataset(msgspec.Struct, frozen=True):
    """Which dataset to show."""

    digest: str
