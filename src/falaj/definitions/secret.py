"""Secret: named in a pipeline, read where its step runs."""

from typing import Any

from falaj.definitions.trace import current_trace
from falaj.definitions.wire import SecretName
from falaj.kernel.secret import read_secret


def secret(name: str) -> Any:
    """Name a secret for a step that has a parameter of type `fj.Secret`.

    In a run the step is told the name alone: the value is read where the step runs, from the environment variable of
    that name or from a file of that name, and stands in no parameter, key or log. Elsewhere it is read at once.

    Args:
        name: Letters, digits and underscores.

    Raises:
        DefinitionError: The name cannot be used.
        NotFound: It is read at once, and there is no such environment variable.
    """
    return read_secret(name, None) if current_trace() is None else SecretName(name)
