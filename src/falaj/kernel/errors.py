"""Every error that Falaj raises on purpose.

    FalajError
    ├── DefinitionError        a definition does not make sense
    ├── ProjectError           falaj.toml or the project's files cannot be loaded
    ├── InputError             a request, an argument or an event is malformed
    ├── DataError              a file, column, type or timestamp cannot be used
    ├── NotFound               a named thing does not exist
    ├── Conflict               the present state forbids it
    │   ├── InUse              something that serves depends on it
    │   └── Locked             another process holds the project (retryable)
    ├── Unauthenticated        no token, or one that is unknown, expired or revoked
    ├── AccessDenied           the actor may not do this
    ├── CorruptionError        a table, store, log or artifact fails its check and is refused
    ├── StorageError           the disk or a server failed (retryable)
    │   └── DiskFull           no space left
    ├── PortInUse              the address is taken
    ├── Unavailable            not ready, overloaded or shutting down (retryable)
    │   └── Overloaded         too much waits; the same request is taken later
    ├── RateLimited            more was asked in a time than the token or its tenant may (retryable)
    ├── Timeout                a deadline passed (retryable)
    ├── RunFailed              a run or one of its steps failed
    ├── Unsupported            a combination that this release refuses rather than approximates
    └── ExtraMissing           an optional dependency is not installed

HTTP statuses and exit codes are given to these at the edges only (`falaj.api`, `falaj.serving`, `falaj.cli`).
"""

from typing import ClassVar


class FalajError(Exception):
    """The root: a sentence that says what and where, and a hint that says what to do.

    Args:
        message: What is wrong and where, as one sentence.
        hint: What to do about it; may be empty. It is a note too, which Python prints below an error that nobody
            caught.

    Example:
        >>> error = NotFound("model 'frod' does not exist", hint="did you mean 'fraud'?")
        >>> error.code, error.retryable, str(error)
        ('not_found', False, "model 'frod' does not exist")
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"fix: {hint}")


class DefinitionError(FalajError):
    """A definition does not make sense; the message names the field and the value."""

    code = "definition_invalid"


class ProjectError(FalajError):
    """The project folder, its falaj.toml or one of its files cannot be loaded."""

    code = "project_invalid"


class InputError(FalajError):
    """A request, an argument or an event is malformed."""

    code = "input_invalid"


class DataError(FalajError):
    """A file, column, type or timestamp cannot be used."""

    code = "data_invalid"


class NotFound(FalajError):
    """A named thing does not exist."""

    code = "not_found"


class Conflict(FalajError):
    """The present state forbids the operation."""

    code = "conflict"


class InUse(Conflict):
    """Something that serves depends on what would be removed or changed."""

    code = "in_use"


class Locked(Conflict):
    """Another process holds the project's lock."""

    code = "locked"
    retryable = True


class Unauthenticated(FalajError):
    """No token was given, or it is unknown, expired or revoked."""

    code = "unauthenticated"


class AccessDenied(FalajError):
    """The actor is known and may not do this."""

    code = "access_denied"


class CorruptionError(FalajError):
    """A table, store, log or artifact fails its check; it is named and refused, never served."""

    code = "corrupt"


class StorageError(FalajError):
    """The disk or a server failed; the same call may succeed later."""

    code = "storage_failed"
    retryable = True


class DiskFull(StorageError):
    """No space is left on the device that holds the state folder."""

    code = "disk_full"


class PortInUse(FalajError):
    """Another program listens on the address."""

    code = "port_in_use"


class Unavailable(FalajError):
    """Not ready, overloaded or shutting down."""

    code = "unavailable"
    retryable = True


class Overloaded(Unavailable):
    """Too much waits to be dealt with; nothing of the request was kept, and it is taken later."""

    code = "overloaded"


class RateLimited(FalajError):
    """More was asked in a time than the token or its tenant may.

    Args:
        message: Whose limit it is.
        hint: What to do about it.
        retry_after_s: After how many whole seconds the same request could be taken.
    """

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after_s: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Timeout(FalajError):
    """A deadline passed before the work was done."""

    code = "timeout"
    retryable = True


class RunFailed(FalajError):
    """A run or one of its steps failed."""

    code = "run_failed"


class Unsupported(FalajError):
    """A combination that this release refuses rather than approximates."""

    code = "unsupported"


class ExtraMissing(FalajError):
    """An optional dependency is not installed; the hint is its install line."""

    code = "extra_missing"


def error_by_code(code: str, message: str, hint: str = "") -> FalajError:
    """Return the error of a code, as an answer from another process names it.

    Example:
        >>> type(error_by_code("not_found", "model 'x' does not exist")).__name__
        'NotFound'
    """
    pending: list[type[FalajError]] = [FalajError]
    while pending:
        kind = pending.pop()
        if kind.code == code and "code" in vars(kind):
            return kind(message, hint=hint)
        pending += kind.__subclasses__()
    return FalajError(message, hint=hint)
