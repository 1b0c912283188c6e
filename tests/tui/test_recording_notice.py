"""A recording that goes on is a notice on the screen."""

from __future__ import annotations

import msgspec

from localllm.tui.widgets.notices import notices_of
from tests.fakes.scenes import rtx5090
from tests.unit.wording.test_recorded import a_recording


def test_a_recording_that_goes_on_is_told_until_it_is_over() -> None:
    now = rtx5090().now(0)

    (notice,) = notices_of(msgspec.structs.replace(now, recording=a_recording(prompts=True)))

    assert notice.level == "warning"
    assert "AND PROMPTS" in notice.says
    assert notices_of(now) == []
