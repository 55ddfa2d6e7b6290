"""Hub: the steps and templates that installed packages offer, through entry points.

A package offers by its metadata: in its `pyproject.toml`, `[project.entry-points."falaj.steps"]` names steps as
`name = "package.module:step"`, and `[project.entry-points."falaj.templates"]` names folders of files as
`name = "package.folder"`. To list them nothing of a package is imported; its code runs when somebody asks to be shown a
step, or uses one.
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
import keyword
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from falaj.definitions.step import StepFunction
from falaj.kernel.errors import Conflict, InputError, NotFound
from falaj.kernel.names import did_you_mean
from falaj.storage.disk import chosen_path

Kind = Literal["step", "template"]
GROUPS: dict[Kind, str] = {"step": "falaj.steps", "template": "falaj.templates"}
_AUTHORS = ("Author", "Author-email", "Maintainer", "Maintainer-email")
FILE = "shared_steps.py"
"""Where `add` writes the imports of steps."""


class Offer(msgspec.Struct, frozen=True):
    """One step or template that a package offers.

    Attributes:
        kind: Which of them.
        name: Its name.
        package: The package's name, as it was installed.
        version: The package's version.
        author: Who says to have made it; empty where the package does not say.
        value: Where it is in the package.
        about: The package's own summary.
    """

    kind: Kind
    name: str
    package: str
    version: str
    author: str
    value: str
    about: str


class Added(NamedTuple):
    """What adding an offer did.

    Attributes:
        written: The files written.
        standing: Those that held the very same before, and were left alone.
    """

    written: list[Path]
    standing: list[Path]


class Shown(msgspec.Struct, frozen=True):
    """What is known of an offer once its code was looked at.

    Attributes:
        offer: The offer.
        documentation: What it says of itself.
        parameters: Of a step, each with its type and default as Python writes them.
        files: Of a template, the files that it writes.
    """

    offer: Offer
    documentation: str
    parameters: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def offers(paths: Sequence[str] | None = None) -> list[Offer]:
    """Return what installed packages offer, by kind and name; reads their metadata and imports nothing of theirs.

    Args:
        paths: Where packages are looked for; where Python does, by default.
    """
    found: dict[tuple[str, str, str], Offer] = {}
    where = importlib.metadata.distributions() if paths is None else importlib.metadata.distributions(path=[*paths])
    for package in where:
        for entry in package.entry_points:
            for kind, group in GROUPS.items():
                if entry.group == group:
                    offer = _offer(kind, entry, package)
                    found.setdefault(
                        (kind, offer.name, offer.package), offer
                    )  # of two, the one that Python finds first
    return [found[key] for key in sorted(found)]


def find(known: Sequence[Offer], name: str) -> Offer:
    """Return the offer of a name.

    Args:
        known: What is offered.
        name: Its name, or `package:name` where several packages have one.

    Raises:
        NotFound: Nobody offers it.
        InputError: Several do.
    """
    package, _, last = name.rpartition(":")
    found = [offer for offer in known if offer.name == last and package in ("", offer.package)]
    if not found:
        hint = did_you_mean(last, [offer.name for offer in known]) if known else "no installed package offers anything"
        raise NotFound(f"no installed package offers {name!r}", hint=hint)
    if len(found) > 1:
        said = " or ".join(f"{offer.package}:{offer.name}" for offer in found)
        raise InputError(f"{name!r} is offered {len(found)} times", hint=f"say {said}")
    return found[0]


def show(offer: Offer) -> Shown:
    """Return what an offer says of itself; a step's package is imported for it, and its code runs.

    Raises:
        InputError: The package cannot be imported, or holds no such step or folder.
    """
    if offer.kind == "template":
        files = template_files(offer)
        readme = next((path for path in files if path.name == "README.md"), None)
        documentation = "" if readme is None else readme.read_text(encoding="utf-8")
        return Shown(offer, documentation.strip(), files=tuple(path.name for path in files))
    step = _step(offer)
    parameters = [str(one) for name, one in step.signature.parameters.items() if name not in step.context_parameters]
    return Shown(offer, inspect.getdoc(step.function) or "", tuple(parameters))


def add(offer: Offer, folder: Path) -> Added:
    """Write an offer's use into a project: a template's files, or the line that imports a step.

    A step's package is imported first, as `show` does: a line that cannot be imported would spoil all others of the
    file.

    Args:
        offer: The offer.
        folder: The project's.

    Raises:
        Conflict: A file of the template is there and differs; nothing is written.
        InputError: The package cannot be imported, or holds no such step or folder.
    """
    if offer.kind == "step":
        return _import(offer, folder / FILE)
    wanted = {folder / path.name: path.read_bytes() for path in template_files(offer)}
    for path, content in wanted.items():
        if path.exists() and path.read_bytes() != content:
            raise Conflict(
                f"{path} is there already, and template {offer.name!r} of {offer.package} has another",
                hint=f"write it into a folder of its own: falaj init NEW --template {offer.name}",
            )
    new = [path for path in wanted if not path.exists()]
    with chosen_path(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in new:
            path.write_bytes(wanted[path])
    return Added(sorted(new), sorted(set(wanted) - set(new)))


def _offer(kind: Kind, entry: importlib.metadata.EntryPoint, package: importlib.metadata.Distribution) -> Offer:
    said = package.metadata
    author, about = (next((said[one] for one in fields if one in said), "") for fields in (_AUTHORS, ("Summary",)))
    return Offer(kind, entry.name, said["Name"], package.version, author, entry.value, about)


def _step(offer: Offer) -> StepFunction[Any]:
    module, _, name = offer.value.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise InputError(f"package {offer.package} cannot be imported: {error}", hint="install it anew") from None
    if not isinstance(found, StepFunction):
        raise InputError(f"{offer.value} of package {offer.package} is no step", hint="its author must correct it")
    return found


def template_files(offer: Offer) -> list[Path]:
    """Return where the files of a template are in its package, in order of name; nothing of the package is imported.

    Raises:
        InputError: The package holds no such folder.
    """
    top, _, rest = offer.value.partition(":")[0].partition(".")
    spec = importlib.util.find_spec(top)  # finds the package's folder, and runs nothing of it
    roots = [] if spec is None else spec.submodule_search_locations or []
    for root in roots:
        folder = Path(root).joinpath(*rest.split(".")) if rest else Path(root)
        if folder.is_dir():
            return sorted(path for path in folder.iterdir() if path.is_file() and path.name != "__init__.py")
    raise InputError(
        f"package {offer.package} has no folder {offer.value!r}", hint="its author must name one that is installed"
    )


def _import(offer: Offer, file: Path) -> Added:
    module, _, name = offer.value.partition(":")
    alias = offer.name.replace("-", "_").replace(".", "_")  # a package may call its offers as Python calls nothing
    for word in (*module.split("."), name, alias):
        if not word.isidentifier() or keyword.iskeyword(word):
            raise InputError(
                f"step {offer.name!r} of package {offer.package} cannot be imported as {alias!r} from {offer.value!r}",
                hint="its author must name a step of a module, as name = 'package.module:step'",
            )
    _step(offer)
    line = f"from {module} import {name} as {alias}"
    said = " ".join(f"step {offer.name!r} of {offer.package} {offer.version}".split())
    told = f"{line}  # {said}, by {' '.join(offer.author.split())}\n" if offer.author else f"{line}  # {said}\n"
    before = file.read_text(encoding="utf-8") if file.exists() else '"""Steps that installed packages share."""\n\n'
    taken = [one for one in before.splitlines() if f" as {alias} " in f"{one} "]
    if any(one.startswith(f"{line} ") or one == line for one in taken):
        return Added([], [file])
    if taken:
        raise Conflict(f"{file} imports another {alias!r}: {taken[0]}", hint="remove that line first")
    with chosen_path(file):
        file.write_text(before + told, encoding="utf-8")
    return Added([file], [])
