"""Opened: the project that a notebook or a test works on."""

from falaj.app.client import Client
from falaj.kernel.errors import ProjectError

_OPENED: list[Client] = []


def note_opened(client: Client) -> None:
    """Remember the project that was opened last."""
    _OPENED[:] = [client]


def opened() -> Client:
    """Return the project that was opened last in this process.

    Raises:
        ProjectError: None was.
    """
    if not _OPENED:
        raise ProjectError(
            "this step works on a project, and none is open here",
            hint="open it first: fj.open('FOLDER'); or start the pipeline in it: falaj runs start PIPELINE",
        )
    return _OPENED[-1]
