"""The line of all models that systemd shows."""

from __future__ import annotations

import pytest

from localllm.events import ModelState as S
from localllm.supervisor.status_line import render_states


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ([], "no model is loaded"),
        ([("a", S.STOPPED)], "no model is loaded"),
        ([("a", S.READY), ("b", S.READY)], "ready: a, b"),
        ([("a", S.STARTING)], "1 starting or stopping"),
        (
            [("a", S.READY), ("b", S.WARMING), ("c", S.FAILED)],
            "ready: a; 1 starting or stopping; 1 failed",
        ),
        ([("a", S.FAILED)], "no model is loaded; 1 failed"),
        ([(str(n), S.READY) for n in range(7)], "ready: 0, 1, 2, 3, 4 and 2 more"),
    ],
)
def test_what_is_ready_is_named_and_the_rest_is_counted(
    states: list[tuple[str, S]], line: str
) -> None:
    assert render_states(states) == line
