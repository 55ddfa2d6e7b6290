"""Where a setting was read, `falaj.toml` or a variable, and what to tell whoever wrote one that cannot be."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from falaj.kernel.docstring import attributes_of
from falaj.kernel.errors import ProjectError
from falaj.kernel.names import did_you_mean

PREFIX = "FALAJ_"
_OTHERS = frozenset({"FALAJ_PROJECT", "FALAJ_TOKEN"})
"""Variables of the command line that are no settings."""

_TESTS = "FALAJ_TEST_"
"""So begin the variables of Falaj's own tests."""

_LINK = re.compile(r"FALAJ_(\w+_)?(SERVICE_(HOST|PORT)\w*|PORT_\d+_\w+)")
"""What Kubernetes sets in every container for a service called falaj-something: nobody wrote it there by mistake."""

_LINKED = ("tcp://", "udp://")
_WHERE = re.compile(r"(.*?)(?: - at `\$((?:\.\w+)*)[^`]*`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


def variables(tree: type[msgspec.Struct]) -> dict[str, tuple[str, str]]:
    """Return the variables that are settings: name to section and field.

    Args:
        tree: The settings, a struct of sections.
    """
    return {
        f"{PREFIX}{section.name}_{field.name}".upper(): (section.name, field.name)
        for section in msgspec.structs.fields(tree)
        for field in msgspec.structs.fields(section.type)
    }


def overlay(found: dict[str, Any], environ: Mapping[str, str], tree: type[msgspec.Struct]) -> None:
    """Put the variables that are settings over what the file says.

    Args:
        found: What the file says, which is changed.
        environ: The environment.
        tree: The settings.

    Raises:
        ProjectError: A variable begins with FALAJ_ and names no setting, or one that is a list.
    """
    known = variables(tree)
    kinds = {section.name: section.type for section in msgspec.structs.fields(tree)}
    for name, value in sorted(environ.items()):
        if name not in known:
            if not _overlay_named(found, name, value, kinds):
                _refuse_unknown(name, value, known)
            continue
        section, field = known[name]
        if _is_list(kinds[section], field):
            raise ProjectError(f"{name}: a list is set in the file only", hint=f"set [{section}] {field} in falaj.toml")
        values = found.setdefault(section, {})
        if isinstance(values, dict):  # what else the file has there is refused with its place
            values[field] = value


def refusal(
    error: msgspec.ValidationError, path: Path, environ: Mapping[str, str], tree: type[msgspec.Struct]
) -> ProjectError:
    """Return what to tell of settings that cannot be.

    Args:
        error: What was wrong with them.
        path: The file; it need not exist.
        environ: The environment.
        tree: The settings.
    """
    match = _WHERE.fullmatch(str(error))
    said, place = (match[1], (match[2] or "")[1:]) if match else (str(error), "")
    section, _, field = place.partition(".")
    kinds = {one.name: one.type for one in msgspec.structs.fields(tree)}
    unknown = _UNKNOWN.fullmatch(said)
    if unknown:
        what, names = ("setting", kinds[section].__struct_fields__) if section else ("section", tuple(kinds))
        shown = f"[{section}] {unknown[1]}" if section else f"[{unknown[1]}]"
        return ProjectError(f"{path}: {shown}: there is no such {what}", hint=did_you_mean(unknown[1], names))
    named = [  # the section's own checks name the field in their sentence
        name
        for name, (where, one) in variables(tree).items()
        if name in environ and where == section and (one == field or (not field and re.search(rf"\b{one}\b", said)))
    ]
    meaning = attributes_of(kinds[section]).get(field, "") if field else ""
    if not named:
        shown = f"[{section}] {field}".strip() + ": " if section else ""
        return ProjectError(f"{path}: {shown}{said}", hint=meaning or "correct the file")
    if environ[named[0]].startswith(_LINKED):
        meaning = "Kubernetes sets it for a service of that name; say enableServiceLinks: false for the pod"
    return ProjectError(f"{named[0]}: {said}", hint=meaning or "correct the variable, or leave it out")


def _overlay_named(found: dict[str, Any], name: str, value: str, kinds: Mapping[str, type[msgspec.Struct]]) -> bool:
    """Take what a part that the file names keeps out of it, such as `FALAJ_ALERTS_ROUTES_ONCALL_SECRET`."""
    for section, kind in kinds.items():
        written = found.get(section)
        for field in msgspec.structs.fields(kind):
            parts = written.get(field.name) if isinstance(written, dict) else None
            inner = get_args(field.type)[-1:]
            if not isinstance(parts, dict) or not inner or not issubclass(inner[0], msgspec.Struct):
                continue
            for part, content in parts.items():
                for one in inner[0].__struct_fields__:
                    if name == f"{PREFIX}{section}_{field.name}_{part}_{one}".upper() and isinstance(content, dict):
                        if _is_list(inner[0], one):
                            raise ProjectError(f"{name}: a list is set in the file only", hint="set it in falaj.toml")
                        content[one] = value
                        return True
    return False


def _refuse_unknown(name: str, value: str, known: Mapping[str, Any]) -> None:
    if not name.startswith(PREFIX) or name in _OTHERS or name.startswith(_TESTS) or _LINK.fullmatch(name):
        return
    if value.startswith(_LINKED):
        return
    raise ProjectError(f"{name} names no setting", hint=f"{did_you_mean(name, known)}; or leave the variable out")


def _is_list(kind: type[msgspec.Struct], field: str) -> bool:
    types = {one.name: one.type for one in msgspec.structs.fields(kind)}
    return get_origin(types[field]) in (tuple, dict)
