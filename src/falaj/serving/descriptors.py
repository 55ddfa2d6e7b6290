"""Descriptors: how many connections the system lets this process hold open."""

import resource

_OTHERS = 256
"""Kept for everything that is no client: files, the log, the online store."""


def room_for(connections: int) -> int:
    """Raise this process's own bound on open files as far as it may, and return how many connections that leaves.

    At the bound the system would refuse files and the online store too, so connections stop before it.

    Args:
        connections: How many are wanted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - _OTHERS))
