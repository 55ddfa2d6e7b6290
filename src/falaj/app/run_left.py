"""RunLeft: a run that somebody stopped following, and how to go on; imported by every command, and light."""

from collections.abc import Sequence


class RunLeft(KeyboardInterrupt):
    """Somebody stopped following a run that has not ended.

    Args:
        run_id: The run.
        controlled: Whether a control works on it.
        on_ray: The steps that Ray was doing.

    Example:
        >>> RunLeft("run_7", controlled=False, on_ray=()).hint
        'go on with it: falaj runs resume run_7; or end it: falaj runs cancel run_7'
    """

    def __init__(self, run_id: str, *, controlled: bool, on_ray: Sequence[str]) -> None:
        how = "follow" if controlled else "resume"
        if controlled:
            self.message = f"run {run_id} goes on: control works on it"
        elif on_ray:
            self.message = f"stopped; run {run_id} waits, and its jobs go on on Ray: {', '.join(on_ray)}"
        else:
            self.message = f"stopped; run {run_id} waits, and nobody works on it"
        way = "follow it" if controlled else "go on with it"
        self.hint = f"{way}: falaj runs {how} {run_id}; or end it: falaj runs cancel {run_id}"
        super().__init__(self.message)
