"""Codes: gRPC's status codes by HTTP status, so that one table says what an error of ours is to callers."""

from grpc import StatusCode

from falaj.serving.statuses import status_of

CODES: dict[int, StatusCode] = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    405: StatusCode.UNIMPLEMENTED,
    409: StatusCode.FAILED_PRECONDITION,
    429: StatusCode.RESOURCE_EXHAUSTED,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}
"""Each is what clients expect: they ask again by themselves after UNAVAILABLE, and only then."""


def code_of(error_code: str) -> StatusCode:
    """Return the gRPC status code of an error's code.

    Example:
        >>> code_of("not_found"), code_of("anything else")
        (<StatusCode.NOT_FOUND: (5, 'not found')>, <StatusCode.INTERNAL: (13, 'internal')>)
    """
    return CODES.get(status_of(error_code), StatusCode.INTERNAL)
