"""Statuses: the one table from an error's code to an HTTP status."""

import http

import msgspec

from falaj.kernel.errors import FalajError
from falaj.kernel.sentence import one_sentence

STATUS_BY_CODE: dict[str, int] = {
    "input_invalid": 400,
    "definition_invalid": 400,
    "data_invalid": 400,
    "project_invalid": 400,
    "unauthenticated": 401,
    "access_denied": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "in_use": 409,
    "locked": 409,
    "timeout": 504,
    "overloaded": 503,
    "rate_limited": 429,
    "unavailable": 503,
    "storage_failed": 503,
    "disk_full": 503,
    "port_in_use": 503,
    "unsupported": 501,
    "extra_missing": 501,
}
"""HTTP status by error code; a code that is not here is a fault of our side and answers 500."""

REASONS: dict[int, bytes] = {status.value: status.phrase.encode() for status in http.HTTPStatus}
"""The reason phrase of each status line."""


class ErrorBody(msgspec.Struct):
    """The body of every answer that is not a success.

    Attributes:
        error: One sentence for people.
        code: The error's stable code.
        hint: What to do next; left out when empty.
    """

    error: str
    code: str
    hint: str | msgspec.UnsetType = msgspec.UNSET


def status_of(code: str) -> int:
    """Return the HTTP status of an error code.

    Example:
        >>> status_of("not_found"), status_of("anything else")
        (404, 500)
    """
    return STATUS_BY_CODE.get(code, 500)


def error_body(message: str, code: str, hint: str = "") -> bytes:
    """Return the JSON body of an error.

    Example:
        >>> error_body("model 'frod' does not exist", "not_found")
        b'{"error":"model \\'frod\\' does not exist","code":"not_found"}'
    """
    return msgspec.json.encode(ErrorBody(one_sentence(message), code, one_sentence(hint) or msgspec.UNSET))


def error_answer(error: FalajError) -> tuple[int, bytes]:
    """Return the status and the body of an error that was raised on purpose.

    Example:
        >>> from falaj.kernel.errors import InputError
        >>> error_answer(InputError("amount is missing"))
        (400, b'{"error":"amount is missing","code":"input_invalid"}')
    """
    return status_of(error.code), error_body(error.message, error.code, error.hint)
