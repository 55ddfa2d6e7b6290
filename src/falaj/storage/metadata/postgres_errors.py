"""What PostgreSQL's errors mean, in Falaj's own."""

from collections.abc import Callable

from falaj.kernel.errors import (
    CorruptionError,
    DiskFull,
    FalajError,
    InputError,
    Overloaded,
    StorageError,
)
from falaj.storage.metadata.backend import busy

_PASSWORD = "FALAJ_STORAGE_DATABASE_PASSWORD"  # noqa: S105 - the name of a variable

_TOLD_AT_CONNECT: tuple[tuple[str, str], ...] = (
    ("authentication failed", f"correct the user in storage.database, or {_PASSWORD}"),
    ("no password supplied", f"give the password as {_PASSWORD}"),
    ("no pg_hba.conf entry", "let the user in from this machine in the server's pg_hba.conf"),
    ("role ", "create the user, or correct it in storage.database"),
    ("database ", "create the database, or correct its name in storage.database"),
    ("session is read-only", "point storage.database to the server that may be written"),
    ("server is in hot standby", "point storage.database to the server that may be written"),
)
"""Text of libpq to what helps: without a connection there is no code. The first that is found counts."""

_AWAY = "it is asked again by itself; see storage.database, and the server's log"


def name_error(name: str, error: BaseException | None, *, disconnected: bool) -> FalajError | None:
    """Return what an error of the client means; None where it is the caller's to see, such as a broken constraint.

    Args:
        name: The database, for the message.
        error: The client's error.
        disconnected: Whether the connection is gone.
    """
    import psycopg

    if not isinstance(error, psycopg.Error):
        return None
    code, said = error.sqlstate or "", _first_line(error)
    named = _BY_CODE.get(code) or _BY_CODE.get(code[:2])
    if named is not None:
        return named(name, said)
    if isinstance(error, psycopg.DataError):
        return InputError(f"database {name} cannot keep a value: {said}", hint="leave zero bytes out of texts")
    if disconnected or (isinstance(error, psycopg.OperationalError) and not code):
        hint = next((hint for text, hint in _TOLD_AT_CONNECT if text in said), _AWAY)
        return StorageError(f"database {name} does not answer: {said}", hint=hint)
    return None


def _storage(hint: str) -> Callable[[str, str], FalajError]:
    return lambda name, said: StorageError(f"database {name}: {said}", hint=hint)


_BY_CODE: dict[str, Callable[[str, str], FalajError]] = {
    "53100": lambda name, said: DiskFull(
        f"database {name}: {said}", hint="free some space on its server; nothing acknowledged was lost"
    ),
    "53300": lambda name, said: Overloaded(
        f"database {name}: {said}", hint="raise the server's max_connections; a Falaj process takes up to 18"
    ),
    "55P03": lambda name, _: busy(name),
    "40": _storage("another program writes these tables; the same call may succeed now"),
    "08": _storage(_AWAY),
    "57": _storage(_AWAY),
    "25P03": _storage("a transaction of Falaj stood still for two minutes; nothing of it was kept"),
    "25006": _storage("point storage.database to the server that may be written"),
    "42501": _storage("let the user create and change tables in its schema"),
    "28": _storage(f"correct the user in storage.database, or {_PASSWORD}"),
    "3D000": _storage("create the database, or correct its name in storage.database"),
    "53": _storage("look at the server's memory and settings"),
    "58": _storage("look at the server's log"),
    "XX": lambda name, said: CorruptionError(
        f"database {name} is damaged: {said}", hint="look at the server's log; restore it from a backup"
    ),
}
"""By code, or by its class where the code is not there."""


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
