"""Arguments: what a step of a user's pipeline is called with, once the steps it needs have given what they give.

A result is JSON in which a thing that is kept as a file stands as `{"$kept": kind, "$output": name}`; an argument is
the same with the file's digest. So a step's arguments are plain, small, and say everything that its key needs.
"""

import itertools
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from falaj.definitions.wire import COMPARE, FILE, PATH, STEP, steps_in
from falaj.kernel.errors import DataError
from falaj.pipelines.graph import Step, part_name
from falaj.pipelines.outputs import Output, Outputs

RESULT = "result"
"""The output that holds what a step function returned."""
KEPT, OUTPUT, DIGEST, NAME = "$kept", "$output", "$digest", "$name"
MOST_PARTS = 50_000
"""Of one step that goes over a list: more would make the run's own rows the work."""

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class Needed(msgspec.Struct, frozen=True):
    """What the steps that a step needs gave.

    Attributes:
        outputs: By step.
        skipped: Those that were skipped.
        keep_file: Keeps a file of the project that an argument names, and returns its digest.
    """

    outputs: Mapping[str, Outputs]
    skipped: Collection[str]
    keep_file: Callable[[str], str]


def is_wanted(step: Step, needed: Needed) -> bool:
    """Return whether a step is to be run: its condition holds, and nothing is absent that it cannot do without.

    Raises:
        DataError: The condition compares what cannot be compared.
    """
    for name, tree in (step.arguments or {}).items():
        if name not in step.optional and any(other in needed.skipped for other in steps_in(tree)):
            return False
    if step.when is None:
        return True
    if any(other in needed.skipped for other in steps_in(step.when)):
        return False
    return _holds(step.name, step.when, needed)


def resolved(step: Step, needed: Needed) -> dict[str, Any]:
    """Return a step's arguments with what other steps gave in the place of their names.

    Args:
        step: A step with arguments.
        needed: What it needs.

    Raises:
        DataError: Another step did not give the part that is asked for.
    """
    return {name: _resolved(step.name, tree, needed) for name, tree in (step.arguments or {}).items()}


def divided(step: Step, needed: Needed) -> tuple[Step, list[Step]]:
    """Return a step that goes over lists as it is from now on, and the steps that it becomes.

    Raises:
        DataError: What it goes over is no list, is too long, or the lists differ in length.
    """
    arguments = step.arguments or {}
    lists = {name: _resolved(step.name, arguments[name], needed) for name in step.mapped}
    length = _length(step, lists)
    places: list[tuple[int, ...]] = [(at,) for at in range(length)]
    shape = None
    if step.each:
        inner = [{f"{name}[{at}]": found[at] for name, found in lists.items()} for at in range(length)]
        shape = tuple(_length(step, one) for one in inner)
        places = [(at, within) for at, size in enumerate(shape) for within in range(size)]
    if len(places) > MOST_PARTS:
        raise DataError(f"step {step.name!r} goes over {len(places):,} parts", hint=f"give {MOST_PARTS:,} at most")
    parts = [
        msgspec.structs.replace(
            step,
            name=part_name(step.name, number),
            arguments={n: _part(tree, place) if n in step.mapped else tree for n, tree in arguments.items()},
            when=None,
            mapped=(),
            each=False,
        )
        for number, place in enumerate(places)
    ]
    return msgspec.structs.replace(step, parts=len(parts), shape=shape), parts


def gathered(parts: list[Outputs], shape: Sequence[int] | None = None) -> Outputs:
    """Return what the parts of a step gave as one list, or as lists of these lengths; files stay where they are.

    Example:
        >>> ones = [{"result": Output(value=1)}, {"result": Output(value=2)}]
        >>> gathered(ones)["result"].value, gathered(ones, [0, 2])["result"].value
        ([1, 2], [[], [1, 2]])
    """
    together: Outputs = {}
    for at, outputs in enumerate(parts):
        together |= {f"{at}.{name}": output for name, output in outputs.items() if name != RESULT}
    trees = [_renamed(outputs[RESULT].value, f"{at}.") for at, outputs in enumerate(parts)]
    if shape is not None:
        rest = iter(trees)
        trees = [list(itertools.islice(rest, size)) for size in shape]
    return {RESULT: Output(value=trees), **together}


def kept_in(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the places of a tree where something kept stands."""
    if isinstance(tree, list):
        for part in tree:
            yield from kept_in(part)
    elif isinstance(tree, dict):
        if KEPT in tree:
            yield tree
        else:
            for part in tree.values():
                yield from kept_in(part)


def content(tree: Any) -> Any:
    """Return an argument as its key sees it: what is kept counts by digest, wherever it came from."""
    if isinstance(tree, list):
        return [content(part) for part in tree]
    if isinstance(tree, dict):
        return {key: content(part) for key, part in tree.items() if key != OUTPUT}
    return tree


def _holds(step: str, tree: Any, needed: Needed) -> bool:
    if not isinstance(tree, dict) or COMPARE not in tree:
        return bool(_resolved(step, tree, needed))
    left, right = (_resolved(step, tree[side], needed) for side in ("left", "right"))
    try:
        return bool(_COMPARE[tree[COMPARE]](left, right))
    except TypeError:
        raise DataError(
            f"step {step!r}: its condition compares {left!r} {tree[COMPARE]} {right!r}", hint="compare numbers or texts"
        ) from None


def _resolved(step: str, tree: Any, needed: Needed) -> Any:
    if isinstance(tree, list):
        return [_resolved(step, part, needed) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if STEP in tree:
        return None if tree[STEP] in needed.skipped else _given(step, tree, needed.outputs[tree[STEP]])
    if FILE in tree:
        return {KEPT: "file", DIGEST: needed.keep_file(tree[FILE]), NAME: Path(tree[FILE]).name}
    if COMPARE in tree:
        return _holds(step, tree, needed)
    return {key: _resolved(step, part, needed) for key, part in tree.items()}


def _given(step: str, wire: dict[str, Any], outputs: Outputs) -> Any:
    found: Any = outputs[RESULT].value if RESULT in outputs else None
    for part in wire[PATH]:
        try:
            found = found[part]
        except (KeyError, IndexError, TypeError):
            path = "".join(f"[{one!r}]" for one in wire[PATH])
            raise DataError(
                f"step {step!r} asks for {wire[STEP]}{path}, and {wire[STEP]} gave no {part!r}",
                hint=f"look at what step {wire[STEP]!r} returns",
            ) from None
    return _with_digests(found, outputs)


def _with_digests(tree: Any, outputs: Outputs) -> Any:
    if isinstance(tree, list):
        return [_with_digests(part, outputs) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if KEPT in tree:
        return {**tree, DIGEST: outputs[tree[OUTPUT]].blob}
    return {key: _with_digests(part, outputs) for key, part in tree.items()}


def _length(step: Step, lists: Mapping[str, Any]) -> int:
    for name, found in lists.items():
        if not isinstance(found, list):
            raise DataError(f"step {step.name!r} goes over {name!r}, which is a {type(found).__name__} and no list")
    lengths = {len(found) for found in lists.values()}
    if len(lengths) > 1:
        raise DataError(f"step {step.name!r} goes over lists of {', '.join(map(str, sorted(lengths)))} parts together")
    return lengths.pop()


def _part(tree: Any, place: Sequence[int]) -> Any:
    for at in place:
        tree = tree[at] if isinstance(tree, list) else {**tree, PATH: [*tree[PATH], at]}
    return tree


def _renamed(tree: Any, prefix: str) -> Any:
    if isinstance(tree, list):
        return [_renamed(part, prefix) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if KEPT in tree:
        return {**tree, OUTPUT: prefix + tree[OUTPUT]}
    return {key: _renamed(part, prefix) for key, part in tree.items()}
