"""PythonSettings: the limits of models that are users' own Python code."""

import msgspec


class PythonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The processes of models that are users' own Python code, one for each such model and gateway worker.

    Attributes:
        timeout_ms: How long one call of `predict` may take; then the process is ended and started anew. A second,
            because a batch of hundreds of rows counts as one call.
        wait_ms: How long a request may take with all its waiting, also for a process that starts anew; then 504.
        load_s: How long `load` may take, with the imports.
        max_queue_rows: Rows that may wait for one model, those under way included; above it requests get 503.
        max_queue_bytes: Bytes of those rows' matrices.
        memory_mib: Memory that the process may allocate; what asks for more gets Python's MemoryError.
        threads: Threads that numeric libraries begin.
        processors: Processors that it may run on, whichever they are; 0 for all. Bound to one, it is slow where another
            program has that one to itself.
        executable: Python interpreter of the processes, with NumPy and what the models import; empty for Falaj's own.
    """

    timeout_ms: int = 1000
    wait_ms: int = 5000
    load_s: float = 60.0
    max_queue_rows: int = 5000
    max_queue_bytes: int = 64 << 20
    memory_mib: int = 2048
    threads: int = 1
    processors: int = 0
    executable: str = ""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name != "executable" and not (value >= 0 if name == "processors" else value > 0):
                raise ValueError(f"{name} {value} is not above 0")
