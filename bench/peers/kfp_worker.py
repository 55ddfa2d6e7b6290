"""Kubeflow's SDK and Hera at work, in an environment of their own: one command a line in, one answer a line out.

Started by `tests/differential`, through `asked.py`. Commands:

    load      file: a pipeline specification; answers the inputs that kfp reads from it, and the secrets of its platform
    run       file, folder, python, arguments: runs it in kfp's local runner, below the folder
    workflow  file: a Workflow or CronWorkflow of Argo; answers it as Hera's models write it
    version   of both

An answer has `error` ("Type: message") where something was raised.
"""

import contextlib
import json
import os
import sys
import traceback
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import hera  # noqa: E402 - after the filter
import kfp  # noqa: E402
import yaml  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from hera.workflows import models  # noqa: E402
from kfp import components, local  # noqa: E402
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes  # noqa: E402
from kfp.local.subprocess_task_handler import SubprocessTaskHandler  # noqa: E402


def version():
    """Say which they are."""
    return {"kfp": kfp.__version__, "hera": hera.__version__}


def load(file):
    """Let kfp read a specification, and the message types of its Kubernetes platform the second document."""
    found = components.load_component_from_file(file)
    executors = {}
    for document in yaml.safe_load_all(Path(file).read_text()):
        for label, said in (
            document.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {}).items()
        ):
            config = json_format.ParseDict(said, kubernetes.KubernetesExecutorConfig())
            executors[label] = [
                [one.secret_name_parameter.runtime_value.constant.string_value, [key.env_var for key in one.key_to_env]]
                for one in config.secret_as_env
            ]
    inputs = {name: str(one.type) for name, one in (found.component_spec.inputs or {}).items()}
    return {"name": found.name, "inputs": inputs, "secrets": executors}


def run(file, folder, python, arguments):
    """Run a pipeline in kfp's local runner, each task as a process of this machine.

    Args:
        file: The specification.
        folder: What the tasks write goes below it.
        python: The folder whose `python` the tasks run with.
        arguments: The pipeline's parameters.
    """
    # kfp's runner of processes refuses containers of other programs than its own, as there is no image to run them in.
    # Here the interpreter that the command names is the image; all else of the local runner is as it is.
    SubprocessTaskHandler.validate_not_container_component = lambda *_: None
    os.environ["PATH"] = os.pathsep.join([python, os.environ["PATH"]])
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=folder)
    components.load_component_from_file(file)(**arguments)
    return {}


def workflow(file):
    """Let Hera's models of Argo's types read a workflow, and refuse what they do not know."""
    said = yaml.safe_load(Path(file).read_text())
    kind = {"Workflow": models.Workflow, "CronWorkflow": models.CronWorkflow}[said["kind"]]
    read = kind.model_validate(said)
    return {"workflow": json.loads(read.model_dump_json(by_alias=True, exclude_none=True))}


def main():
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # kfp prints what its tasks print
    commands = {"version": version, "load": load, "run": run, "workflow": workflow}
    for line in sys.stdin:
        words = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer = commands[words.pop("do")](**words)
        except Exception as error:  # noqa: BLE001 - what kfp and Hera raise is an answer
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
