"""What prompts that were kept warm have spared; in full see cli/test_render.py."""

from __future__ import annotations

import pytest

from localllm.api.status_views import SavedView
from localllm.wording.saved import what_was_saved


@pytest.mark.parametrize(
    ("seconds", "tokens", "parts"),
    [
        (724.6, 1_234_567, 2),
        (None, 12_345, 2),
        (0.0, 0, 0),
    ],
)
def test_it_is_said_in_parts_the_first_of_which_can_stand_alone(
    seconds: float | None, tokens: int, parts: int
) -> None:
    said = what_was_saved(SavedView(seconds=seconds, tokens=tokens, day="2027-01-15"))

    assert len(said) == parts
    assert all(one.startswith("prompts kept warm") for one in said[:1])
