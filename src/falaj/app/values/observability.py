"""Values of the operations that write for Prometheus and Grafana."""

import msgspec


class GenerateQuery(msgspec.Struct, frozen=True):
    """Ask for files out of the applied definitions."""


class Generated(msgspec.Struct, frozen=True):
    """Files out of the applied definitions.

    Attributes:
        files: File name to text.
    """

    files: dict[str, str]
