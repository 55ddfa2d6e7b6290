"""Descriptors: how many connections the system lets this process hold open."""

import math
import resource

_OTHERS = 256
"""Kept for everything that is no client: files, the log, the online store."""


_HTTP_FOR_ONE_GRPC = 8
"""A connection of gRPC carries any number of calls, so there are fewer of them."""

_DESCRIPTORS_OF_GRPC = 3
"""The client's, and both ends of its continuation to gRPC's own server."""


def connections_within(connections: int) -> int:
    """Return how many connections of gRPC may be open where so many of HTTP may.

    Example:
        >>> connections_within(10_000)
        1250
    """
    return max(1, connections // _HTTP_FOR_ONE_GRPC)


def room_for(connections: int, *, grpc: bool = False) -> int:
    """Raise this process's own bound on open files as far as it may, and return how many connections that leaves.

    At the bound the system would refuse files and the online store too, so connections stop before it.

    Args:
        connections: How many of HTTP are wanted.
        grpc: Whether there are those of gRPC besides.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    share = 1 + grpc * _DESCRIPTORS_OF_GRPC / _HTTP_FOR_ONE_GRPC
    wanted = math.ceil(connections * share) + _OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, int((soft - _OTHERS) / share)))
