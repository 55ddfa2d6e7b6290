"""What a gateway worker calls itself: in the names of its log's segments and of the file of its counts."""

import platform

from falaj.kernel.settings import Settings


def worker_name(settings: Settings, number: int) -> str:
    """Return the name of a worker of this machine.

    Args:
        settings: The project's settings.
        number: The worker's number, from 0.

    Example:
        >>> worker_name(Settings(), 0)
        'gateway-0'
    """
    # On a volume that several machines share, the files of each must have names of their own.
    own = f"gateway-{platform.node()}" if settings.storage.shared else "gateway"
    return f"{settings.gateway.name or own}-{number}"
