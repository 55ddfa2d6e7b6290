"""What a pipeline's function asks of its steps is refused with the line that asks."""

from pathlib import Path

import pytest

from falaj.definitions.pipeline import Pipeline
from falaj.kernel.errors import DefinitionError
from falaj.lifecycle.project import trace_pipeline

FLOW = """\
import falaj as fj
from falaj import steps


@fj.pipeline
def learn():
    return steps.evaluate({}, None, tsk="regression")
"""


def test_a_wrong_argument_of_a_step_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    wanted = "pipeline 'learn': flow.py:7: step 'evaluate' has no parameter 'tsk'"
    with pytest.raises(DefinitionError, match=wanted) as told:
        trace_pipeline(tmp_path, Pipeline("learn", "flow:learn"), {})
    assert told.value.hint.startswith("it takes model, rows")
