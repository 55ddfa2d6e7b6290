"""Code: an on-demand view's function, written in the YAML file or named in a Python file of the project."""

import inspect
import linecache
from collections.abc import Callable
from typing import Any

from falaj.definitions.on_demand import OnDemandView, on_demand
from falaj.definitions.yaml.constructor import Constructor, Parameter, constructor
from falaj.definitions.yaml.node import Scalar
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import did_you_mean

FindModule = Callable[[str], dict[str, Any]]
"""From the name of a Python file of the project, without its ending, to what the file defines."""


def on_demand_constructor(find_module: FindModule) -> Constructor:
    """Return what makes an on-demand view of YAML: all that `@fj.on_demand` takes, and its function.

    Args:
        find_module: Runs a Python file of the project.
    """
    declared = constructor(on_demand)

    def make(*, name: str, function: str | None = None, code: Scalar | None = None, **declaration: Any) -> OnDemandView:
        if (function is None) == (code is None):
            raise DefinitionError(
                f"on-demand view {name!r} needs either function or code",
                hint="write 'function: FILE:FUNCTION', or 'code: |' and the function below it",
            )
        if function is not None:
            return on_demand(**declaration)(_named(function, name, find_module))
        assert code is not None
        return _captured(code, name, declaration)

    own = (
        Parameter("name", str, required=True, positional=False, description="The function's name, and the feature's."),
        Parameter(
            "function", str, required=False, positional=False, description="`FILE:FUNCTION`, where FILE.py defines it."
        ),
        Parameter("code", Scalar, required=False, positional=False, description="Python text that defines it."),
    )
    parameters = {parameter.name: parameter for parameter in own} | declared.parameters
    return Constructor("on_demand_view", make, parameters, None, declared.description)


def _named(function: str, name: str, find_module: FindModule) -> Any:
    file, _, called = function.partition(":")
    if not file.isidentifier() or called != name:
        raise DefinitionError(
            f"on-demand view {name!r}: function {function!r} is not of that name",
            hint=f"write FILE:{name}, where FILE.py is a file of the project that defines {name}",
        )
    namespace = find_module(file)
    if called not in namespace:
        functions = [key for key, value in namespace.items() if inspect.isfunction(value)]
        raise DefinitionError(
            f"on-demand view {name!r}: {file}.py has no function {called!r}", hint=did_you_mean(called, functions)
        )
    if isinstance(namespace[called], OnDemandView):
        raise DefinitionError(
            f"on-demand view {name!r} is declared in {file}.py already", hint="refer to it by its name alone"
        )
    return namespace[called]


def _captured(code: Scalar, name: str, declaration: dict[str, Any]) -> OnDemandView:
    first = code.place.line + 1 if code.block else code.place.line
    # Empty lines before it let Python's own messages say the line of the YAML file.
    padded = "\n" * (first - 1) + code.text
    file = f"<{code.place.file}:{first}>"
    namespace: dict[str, Any] = {"__name__": f"falaj_on_demand_{name}"}
    # The capture reads a function's source where Python does.
    linecache.cache[file] = (len(padded), None, padded.splitlines(keepends=True), file)
    try:
        exec(compile(padded, file, "exec"), namespace)  # noqa: S102 - the project's own code, as its Python files are
        if not inspect.isfunction(namespace.get(name)):
            functions = [key for key, value in namespace.items() if inspect.isfunction(value)]
            raise DefinitionError(
                f"on-demand view {name!r}: its code defines no function of that name",
                hint=did_you_mean(name, functions) if functions else f"write 'def {name}(...):'",
            )
        return on_demand(**declaration)(namespace[name])
    except (SyntaxError, ValueError) as error:  # a text with a null character is a ValueError
        line = getattr(error, "lineno", None) or first
        raise DefinitionError(
            f"on-demand view {name!r}, line {line}: {getattr(error, 'msg', error)}", hint="correct the Python text"
        ) from None
    finally:
        del linecache.cache[file]
