"""Plan: what another platform has to know of a pipeline's graph before any step has run.

The container finds the same plan again from the project's files, so names and decisions are functions of the graph.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from falaj.definitions.pipeline import Pipeline
from falaj.definitions.wire import SECRET, steps_in
from falaj.kernel.digest import digest_value
from falaj.kernel.errors import InputError
from falaj.pipelines.graph import Graph, Step

OUTPUTS = "outputs"
"""What the one artifact is called that a step gives."""
_LONGEST = 40
_DERIVED = ("{}", "decide-{}", "list-{}", "if-{}", "{}-each", "{}-part", "{}-gather")
_RESERVED = ("main", "root")

Kind = Literal["string", "integer", "number", "boolean", "list", "object"]


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the pipeline that can still be chosen when it is started there.

    Attributes:
        name: Its name.
        kind: Of what type it is, as JSON has types.
        value: Its default, as JSON.
    """

    name: str
    kind: Kind
    value: Any


class Exporting(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline, and where it is to run.

    Attributes:
        pipeline: The definition.
        graph: Its steps, as traced with the parameters.
        parameters: Those that can be chosen there.
        image: The container image; it has Python, Falaj and the project's files.
        folder: The project's folder in the image; empty for the image's own working folder.
        secret: The Kubernetes secret whose keys are the names of the steps' secrets.
        scheduled: Whether the parameter `at` is given the instant by the platform's own schedule.
        contexts: Names of the steps that take a `StepContext`.
    """

    pipeline: Pipeline
    graph: Graph
    parameters: tuple[Parameter, ...] = ()
    image: str
    folder: str = ""
    secret: str = "falaj"  # noqa: S105 the name of one
    scheduled: bool = False
    contexts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.image or any(letter.isspace() for letter in self.image):
            raise InputError(f"image {self.image!r} is none", hint="name one, such as registry.example/shop:1.4")


class Exported(msgspec.Struct, frozen=True):
    """A pipeline in another platform's own words.

    Attributes:
        text: YAML.
        notes: What is otherwise there than here, or is not carried; a sentence each.
    """

    text: str
    notes: tuple[str, ...]


class Needs(msgspec.Struct, frozen=True):
    """The steps that a step needs, by what becomes of it when one of them is skipped.

    Attributes:
        required: It is skipped too.
        optional: It is given None.
        order: It only waits.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    order: tuple[str, ...]

    @property
    def given(self) -> tuple[str, ...]:
        """Those whose results it is given."""
        return self.required + self.optional


class Decision(msgspec.Struct, frozen=True):
    """What must be known of a step before the platform can start it.

    Attributes:
        kind: `go`, whether its condition holds; or `parts`, the positions in the list that it goes over.
        step: The step.
        needs: The steps by whose results it is decided.
    """

    kind: Literal["go", "parts"]
    step: str
    needs: tuple[str, ...]

    @property
    def maker(self) -> str:
        """The step that decides it when it ends; empty where that takes a container of its own."""
        return self.needs[0] if len(self.needs) == 1 else ""

    def key(self, names: Mapping[str, str]) -> str:
        """Return what its output is called, given the steps' portable names."""
        return f"{self.kind}-{names[self.step]}"


def needs_of(step: Step) -> Needs:
    """Return what a step needs, by kind.

    Example:
        >>> step = Step(name="c", function="m:f", needs=("a", "b"), arguments={"x": {"$step": "a", "$path": []}})
        >>> needs_of(step)
        Needs(required=('a',), optional=(), order=('b',))
    """
    arguments = step.arguments or {}
    must = [tree for name, tree in arguments.items() if name not in step.optional]
    required = dict.fromkeys(steps_in([*must, step.when]))
    may = dict.fromkeys(steps_in([arguments[name] for name in step.optional if name in arguments]))
    optional = tuple(name for name in may if name not in required)
    return Needs(tuple(required), optional, tuple(n for n in step.needs if n not in required and n not in may))


def decisions_of(step: Step) -> list[Decision]:
    """Return what must be known of a step before it starts.

    Example:
        >>> when = {"$step": "test", "$path": ["auc"]}
        >>> decisions_of(Step(name="tell", function="m:f", needs=("test",), arguments={}, when=when))
        [Decision(kind='go', step='tell', needs=('test',))]
    """
    found = [] if step.when is None else [Decision("go", step.name, tuple(dict.fromkeys(steps_in(step.when))))]
    if step.mapped:
        arguments = step.arguments or {}
        needs = tuple(dict.fromkeys(steps_in([arguments[name] for name in step.mapped])))
        found.append(Decision("parts", step.name, needs))
    return found


def maybe_skipped(graph: Graph) -> set[str]:
    """Return the steps that a condition may leave out, their own or that of a step they cannot do without."""
    found: set[str] = set()
    for step in graph.ordered():
        if step.when is not None or any(name in found for name in needs_of(step).required):
            found.add(step.name)
    return found


def names_of(graph: Graph) -> dict[str, str]:
    """Return each step's name as other platforms allow names: lower case, digits and dashes, no two alike.

    Example:
        >>> steps = (Step(name="by_shop", function="m:f"), Step(name="by-shop", function="m:f"))
        >>> names_of(Graph("p", steps))
        {'by_shop': 'by-shop', 'by-shop': 'by-shop-2'}
    """
    taken, found = set(_RESERVED), {}
    for step in graph.steps:
        plain = portable_name(step.name)
        name, number = plain, 1
        while any(form.format(name) in taken for form in _DERIVED):
            number += 1
            name = f"{plain}-{number}"
        taken.update(form.format(name) for form in _DERIVED)
        found[step.name] = name
    return found


def portable_name(name: str) -> str:
    """Return a name in lower case, digits and dashes that begins with a letter.

    Example:
        >>> portable_name("_Load__all.2")
        'load-all-2'
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST].rstrip("-")
    return plain if plain[:1].isalpha() else f"s-{plain}".rstrip("-")


def shape_of(graph: Graph) -> str:
    """Return a digest of what is fixed when a pipeline is exported: which steps there are, and how they are wired.

    Parameters may change what steps are given; where they change the shape, the export does not fit any more.
    """
    return digest_value([_shape(step) for step in graph.steps])[:16]


def secrets_of(step: Step) -> list[str]:
    """Return the names of the secrets that a step is given.

    Example:
        >>> secrets_of(Step(name="send", function="m:f", arguments={"key": {"$secret": "API_KEY"}}))
        ['API_KEY']
    """
    return sorted(set(_secrets(step.arguments or {})))


def _shape(step: Step) -> list[Any]:
    arguments = {name: list(steps_in(tree)) for name, tree in (step.arguments or {}).items()}
    condition = None if step.when is None else list(steps_in(step.when))
    return [
        step.name,
        step.function,
        step.needs,
        arguments,
        step.mapped,
        step.each,
        step.optional,
        condition,
        secrets_of(step),
    ]


def _secrets(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict) and SECRET in tree:
        yield tree[SECRET]
    elif isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _secrets(part)
