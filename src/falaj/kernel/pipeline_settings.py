"""PipelineSettings: what the steps of users' own pipelines may use."""

import msgspec


class PipelineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The workers of users' own pipelines, and what they have.

    Attributes:
        workers: Steps of theirs that run at the same time, beside one of Falaj's own; 0 for one for each core, four at
            most.
        cpus: Cores that steps may use together; 0 for the machine's. A step that needs more is left alone, and says so.
        memory_gib: Memory that steps may use together, in GiB; 0 for the machine's.
        gpus: Graphics cards that steps may use; each runs with those that it was given.
        secrets: Folder of files that hold a secret each, readable by their owner alone; relative to the project.
    """

    workers: int = 0
    cpus: float = 0.0
    memory_gib: float = 0.0
    gpus: int = 0
    secrets: str = "secrets"

    def __post_init__(self) -> None:
        for name in ("workers", "cpus", "memory_gib", "gpus"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0")
