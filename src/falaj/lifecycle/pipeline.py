"""The training pipeline: seven steps as one durable graph, and an eighth where something is tuned."""

from typing import Any

from falaj.definitions.model import Model
from falaj.definitions.project import digest_of
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_bytes, digest_value
from falaj.lifecycle.beside import service_beside
from falaj.lifecycle.continuing import parent_of
from falaj.lifecycle.rooms import Rooms
from falaj.models.python.package import read_folder
from falaj.pipelines.graph import Graph, Step

STEPS = "falaj.lifecycle.training"
TUNING = "falaj.lifecycle.tuning"
JUDGING = "falaj.lifecycle.judging"


def training_graph(rooms: Rooms, model: str, instead: tuple[str, dict[str, Any]] | None = None) -> Graph:
    """Return the graph that trains a model by the definitions now in force.

    A step's parameters hold all that its result depends on besides its inputs, so that a repeat of the same work is
    taken from the run before. Steps that look at what changes by itself (files, production) are done in every run.

    Args:
        rooms: The project.
        model: The model's name.
        instead: What stands in the place of fitting: `module:name` of a step, and its parameters; None for nothing.

    Raises:
        NotFound: There is no such model.
    """
    definition = rooms.definitions.model(model)
    base = pinned(rooms, definition)
    fitting: dict[str, Any] = {"trainer": to_builtins(definition.trainer), "files": files_digest(rooms, definition)}
    parent = parent_of(rooms, definition)
    if parent is not None:
        fitting["parent"] = to_builtins(parent)
    tune = Step(
        name="tune", function=f"{TUNING}:tune", needs=("features",), params={**base, **fitting}, executor="child"
    )
    searching = (tune,) if definition.trainer.searches and instead is None else ()
    found = tuple(step.name for step in searching)
    function, params = instead or (f"{STEPS}:train", fitting)
    return Graph(
        f"train:{model}",
        (
            Step(name="ingest", function=f"{STEPS}:ingest", params=base, cache=False),
            Step(name="validate", function=f"{STEPS}:validate", needs=("ingest",), params=base, cache=False),
            # It needs what was validated and not what was ingested just now: how many rows are new says nothing of
            # what the rows are, and would make the same work look like other work.
            Step(name="features", function=f"{STEPS}:features", needs=("validate",), params=base, executor="child"),
            *searching,
            Step(
                name="train",
                function=function,
                needs=("features", *found),
                params={**base, **params},
                executor="child",
            ),
            Step(
                name="evaluate",
                function=f"{JUDGING}:evaluate",
                needs=("validate", "features", "train"),
                params=base,
                executor="child",
                cache=False,
            ),
            Step(
                name="gate",
                function=f"{JUDGING}:gate",
                needs=("features", "train", "evaluate"),
                params=base,
                cache=False,
            ),
            Step(
                name="register",
                function=f"{JUDGING}:register",
                needs=("validate", "features", *found, "train", "evaluate", "gate"),
                params=base,
                executor="child",
                cache=False,
            ),
        ),
    )


def files_digest(rooms: Rooms, definition: Model) -> str:
    """Return the digest of a Python model's files as they are now; empty for other models.

    Raises:
        NotFound: There is no such folder.
        DataError: A file of it cannot be kept.
    """
    if definition.trainer.kind != "python":
        return ""
    files = read_folder(rooms.folder / definition.trainer.folder)
    return digest_value({name: digest_bytes(content) for name, content in files.items()})


def pinned(rooms: Rooms, definition: Model) -> dict[str, str]:
    """Return what a training run takes from the definitions: whatever of it changes makes another run of it.

    Args:
        rooms: The project.
        definition: The model.
    """
    source, more = definition.label.source, service_beside(rooms, definition)
    return {
        "model": definition.name,
        "definition": digest_of(definition),
        "service": rooms.applied.document.services[definition.features.name].digest,
        # The definition names its label's source only; these say which of its rows are examples, and of when.
        "label_source": digest_value([source.name, source.id, source.timestamp, source.created]),
        "beside": "" if more is None else more.digest,
    }
