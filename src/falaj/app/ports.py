"""TCP ports: is one free?"""

import errno
import socket

from falaj.kernel.errors import PortInUse, ProjectError

_BACKLOG = 1024


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """Return a socket that listens on the address; a child process may inherit it.

    Raises:
        PortInUse: Another program listens there.
        ProjectError: The address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bind(listener, host, port, setting)
    listener.listen(_BACKLOG)
    listener.set_inheritable(True)
    return listener


def refuse_taken(host: str, port: int, *, setting: str) -> None:
    """Return if nothing listens on the address.

    Args:
        host: The address to listen on.
        port: The port.
        setting: The setting that chooses it, for the hint.

    Raises:
        PortInUse: Another program listens there.
        ProjectError: The address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(probe, host, port, setting)


def is_free(host: str, port: int) -> bool:
    """Return whether nothing listens on the address."""
    try:
        refuse_taken(host, port, setting="gateway.port")
    except PortInUse:
        return False
    return True


def free_port(host: str) -> int:
    """Return a port on which nothing listens now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _bind(taker: socket.socket, host: str, port: int, setting: str) -> None:
    section, name = setting.split(".")
    try:
        taker.bind((host, port))
    except OSError as error:
        taker.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is taken by another program",
                hint=f"set [{section}] {name} in falaj.toml, or FALAJ_{section.upper()}_{name.upper()}",
            ) from None
        raise ProjectError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint=f"correct {section}.host or {setting}"
        ) from None
