"""What a first chat's figures say of an engine's speed."""

from __future__ import annotations

import pytest

from localllm.engine_client.client import WarmUpFailed, _speed, _Timings

an_answer = _Timings


def test_the_first_token_comes_with_the_prompt_and_is_not_among_those_timed() -> None:
    # As logged by xllamacpp 2026.10, which itself says 101.43 and 225.39 tokens per second.
    speed = _speed(an_answer(33, 146.41, 4, 29.58))

    assert speed.decode_tps == pytest.approx(101.43, abs=0.02)
    assert speed.prefill_tps == pytest.approx(225.39, abs=0.02)
    assert speed.prompt_tokens == 33


def test_one_token_tells_no_speed_of_generating() -> None:
    assert _speed(an_answer(33, 146.41, 1, 0.001)).decode_tps is None


def test_an_answer_without_a_token_is_no_warm_up() -> None:
    with pytest.raises(WarmUpFailed):
        _speed(an_answer(33, 146.41, 0, 0.0))
