"""One step of an exported pipeline, in a container of its own: no control, no database, no library of the platform's.

Run by what `falaj runs export` writes, as `python -m falaj.pipelines.container`. It loads the project's pipeline,
traces it with the run's parameters, reads what other steps gave, calls the step, and writes what it gives.
"""

import argparse
import faulthandler
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from falaj.definitions.pipeline import Pipeline, trace_of
from falaj.kernel.errors import DefinitionError, FalajError, InputError
from falaj.kernel.names import did_you_mean
from falaj.pipelines.arguments import Needed
from falaj.pipelines.attempt import sentence
from falaj.pipelines.exports.deciding import decide, no_file
from falaj.pipelines.exports.doing import Done, Given, do
from falaj.pipelines.exports.places import Places, argo_places, kubeflow_places
from falaj.pipelines.exports.plan import Decision, decisions_of, names_of, shape_of
from falaj.pipelines.exports.words import FAILED, FAILED_FOR_GOOD
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.handover import gather_handovers
from falaj.pipelines.traced import graph_of


def main(words: list[str] | None = None) -> int:
    """Do what the command line says, and return how the process should end."""
    asked = _asked(words)
    try:
        if asked.folder:
            os.chdir(asked.folder)
        sys.path.insert(0, str(Path.cwd()))
        if asked.timeout_s:
            # Ends the process from C, with a traceback: a step that hangs in a library lets no Python run.
            faulthandler.dump_traceback_later(asked.timeout_s, exit=True)
        places = kubeflow_places(asked.executor_input) if asked.platform == "kubeflow" else argo_places(Path(asked.at))
        return _work(asked, places)
    except FalajError as error:
        sys.stderr.write(f"{sentence(error)}\n")
        return FAILED if error.retryable else FAILED_FOR_GOOD
    finally:
        faulthandler.cancel_dump_traceback_later()


def traced_graph(reference: str, params: Mapping[str, Any], shape: str) -> Graph:
    """Return the graph of a pipeline with the run's parameters.

    Args:
        reference: `module:name` of the pipeline.
        params: JSON, or text as a command line has it.
        shape: What was exported.

    Raises:
        DefinitionError: There is no such pipeline.
        InputError: A parameter does not fit, or with these parameters the pipeline has other steps.
    """
    name = reference.partition(":")[2]
    trace, _ = trace_of(name, _loaded(reference), params)
    graph = graph_of(name, trace)
    if shape_of(graph) != shape:
        raise InputError(
            f"pipeline {name!r} has other steps, or wires them otherwise, than when it was exported",
            hint="export it with these parameters, from the files that are in the image: falaj runs export",
        )
    return graph


def _loaded(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise DefinitionError(
            f"pipeline {reference!r} cannot be imported: {error}",
            hint="put the project's files into the image, and name their folder: falaj runs export --folder",
        ) from None
    function = found.__dict__.get("declared") if isinstance(found, Pipeline) else found
    if not callable(function):
        raise DefinitionError(f"{reference!r} is no pipeline", hint="make the image of the files that were exported")
    return function  # type: ignore[no-any-return]


def _asked(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m falaj.pipelines.container", description=__doc__)
    parser.add_argument("platform", choices=["kubeflow", "argo"])
    parser.add_argument("work", choices=["run", "part", "gather", "decide"])
    parser.add_argument("--pipeline", required=True, help="MODULE:NAME")
    parser.add_argument("--step", required=True)
    parser.add_argument("--shape", required=True, help="of the graph that was exported")
    parser.add_argument("--folder", default="", help="of the project")
    parser.add_argument("--run", default="", help="the platform's name of this run")
    parser.add_argument("--decide", nargs="*", default=[], metavar="KIND:STEP")
    parser.add_argument("--param", nargs="*", default=[], metavar="NAME=TEXT")
    parser.add_argument("--instant", default="", metavar="NAME=TEXT", help="the parameter that is given the run's time")
    parser.add_argument("--time-zone", default="UTC", help="of that parameter")
    parser.add_argument("--timeout-s", type=float, default=0.0)
    parser.add_argument("--part", type=int, default=None)
    parser.add_argument("--executor-input", default="", help="Kubeflow's own")
    parser.add_argument("--at", default="", help="Argo: the folder of inputs and outputs")
    return parser.parse_args(words)


def _work(asked: argparse.Namespace, places: Places) -> int:
    graph = traced_graph(asked.pipeline, _params(asked, places), asked.shape)
    steps, names = {step.name: step for step in graph.steps}, names_of(graph)
    step = _found(asked.step, steps)
    decisions = [_decision(word, steps) for word in asked.decide]
    with tempfile.TemporaryDirectory(prefix="falaj-step-") as work:
        given = Given(places, names, Path(work))
        if asked.work == "decide":
            needed = given.needed(tuple({need for one in decisions for need in one.needs}))
        else:
            done = _done(asked, step, given, places)
            if done.code:
                return done.code
            places.tell(done.outputs)
            needed = Needed({step.name: done.outputs}, {step.name} if done.skipped else set(), no_file)
    for one in decisions:
        decide(one, steps[one.step], needed, places.decision(one.key(names)))
    return 0


def _params(asked: argparse.Namespace, places: Places) -> dict[str, Any]:
    params = places.params | dict(word.split("=", 1) for word in asked.param)
    if asked.instant:
        name, _, text = asked.instant.partition("=")
        params[name] = _instant(text).astimezone(ZoneInfo(asked.time_zone))
    return params


def _done(asked: argparse.Namespace, step: Step, given: Given, places: Places) -> Done:
    if asked.work == "gather":
        whole = gather_handovers(places.parts(), places.output)
        return Done(whole.outputs, whole.skipped)
    return do(step, given, asked.run, asked.part if asked.part is not None else places.part)


def _found(name: str, steps: Mapping[str, Step]) -> Step:
    if name not in steps:
        raise InputError(f"there is no step {name!r}", hint=did_you_mean(name, steps))
    return steps[name]


def _decision(word: str, steps: Mapping[str, Step]) -> Decision:
    kind, _, name = word.partition(":")
    for one in decisions_of(_found(name, steps)):
        if one.kind == kind:
            return one
    raise InputError(f"step {name!r} needs no decision of kind {kind!r}", hint="export the pipeline again")


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found
    except ValueError:
        pass
    raise InputError(f"{text!r} is no instant", hint="the schedule should give one, such as 2026-01-31T02:30:00Z")


if __name__ == "__main__":
    sys.exit(main())
