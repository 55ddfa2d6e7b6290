"""Captured code: a function as self-contained source text, so that a version keeps the code it was trained with."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

from falaj.kernel.errors import DefinitionError


def capture(function: Callable[..., Any], *, arguments: int) -> str:
    """Return source text that defines the function and all it uses of its module.

    Args:
        function: A plain function of a file (not a lambda, method or closure).
        arguments: How many positional arguments it must take.

    Raises:
        DefinitionError: The source cannot be found, the arguments differ, or it uses a name whose value is not an
            import, a literal constant or another plain function of the same file.
    """
    name = getattr(function, "__name__", repr(function))
    if not inspect.isfunction(function) or name == "<lambda>" or function.__closure__:
        raise DefinitionError(f"on-demand {name}: only a plain function of a file can be used", hint="use 'def'")
    taken = len(inspect.signature(function).parameters)
    if taken != arguments:
        raise DefinitionError(
            f"on-demand {name!r} takes {taken} arguments and declares {arguments} inputs", hint="give one input each"
        )
    return _Capture(function.__globals__).text(function)


def load_captured(code: str, name: str) -> Callable[..., Any]:
    """Return the function that captured source text defines.

    Raises:
        DefinitionError: The text does not run here, for example because a module it imports is absent.
    """
    namespace: dict[str, Any] = {"__name__": f"falaj_on_demand_{name}"}
    try:
        exec(compile(code, f"<on-demand {name}>", "exec"), namespace)  # noqa: S102 - the project's own, pinned code
    except (SyntaxError, ImportError, NameError) as error:
        raise DefinitionError(f"on-demand {name!r} cannot be loaded: {error}", hint="install what it imports") from None
    loaded: Callable[..., Any] = namespace[name]
    return loaded


class _Capture:
    def __init__(self, module_globals: dict[str, Any]) -> None:
        self._globals = module_globals
        self._imports: dict[str, str] = {}
        self._constants: dict[str, str] = {}
        self._functions: dict[str, str] = {}

    def text(self, function: Callable[..., Any]) -> str:
        self._add_function(function)
        parts = [self._imports[n] for n in sorted(self._imports)]
        parts += [self._constants[n] for n in sorted(self._constants)]
        return "\n".join([*parts, *self._functions.values()]) + "\n"

    def _add_function(self, function: Callable[..., Any]) -> None:
        name = function.__name__
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, SyntaxError, IndexError):
            raise DefinitionError(
                f"on-demand {name!r}: its source cannot be read", hint="define it in a file"
            ) from None
        if not isinstance(tree, ast.FunctionDef):
            raise DefinitionError(f"on-demand {name!r} is not a plain function", hint="use 'def'")
        tree.decorator_list = []
        self._functions[name] = ""  # marks it as seen, so that recursion ends
        for used in sorted(_free_names(tree)):
            self._add_name(used, by=name)
        del self._functions[name]
        self._functions[name] = ast.unparse(tree)

    def _add_name(self, used: str, *, by: str) -> None:
        if used not in self._globals or used in self._functions:
            return  # a builtin, or seen already
        value = self._globals[used]
        if isinstance(value, ModuleType):
            self._imports[used] = f"import {value.__name__} as {used}"
        elif inspect.isfunction(value) and value.__globals__ is self._globals:
            self._add_function(value)
        elif (inspect.isfunction(value) or inspect.isbuiltin(value) or inspect.isclass(value)) and value.__module__:
            self._imports[used] = f"from {value.__module__} import {value.__name__} as {used}"
        elif _is_literal(value):
            self._constants[used] = f"{used} = {value!r}"
        else:
            raise DefinitionError(
                f"on-demand {by!r} uses {used!r}, a {type(value).__name__} that cannot be carried with a model",
                hint="use imports, literal constants and plain functions of the same file",
            )


def _free_names(tree: ast.FunctionDef) -> set[str]:
    loaded = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    bound |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return loaded - bound


def _is_literal(value: object) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False
