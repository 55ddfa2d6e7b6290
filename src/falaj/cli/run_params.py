"""Parameters of a run, as a command line has them."""

from falaj.kernel.errors import InputError


def named_params(words: tuple[str, ...]) -> dict[str, str]:
    """Return what `--param NAME=VALUE` gave, by name.

    Raises:
        InputError: One has no name or no value.

    Example:
        >>> named_params(("day=2026-01-31",))
        {'day': '2026-01-31'}
    """
    params: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError(f"--param {word!r} has no name and value", hint="write --param NAME=VALUE")
        params[name] = value
    return params
