"""How fast an instance reads before its requests have told: by its start, else by its plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localllm.engine_client.client import Speed as MeasuredSpeed
from localllm.fit.speed import Speed
from localllm.gateway.reading_speed import prefill_tps
from tests.fakes.house import a_house, a_plan

pytestmark = pytest.mark.anyio
PREDICTED = Speed(
    decode_tps=10.0,
    decode_full_tps=None,
    decode_low_tps=None,
    decode_high_tps=None,
    prefill_tps=100.0,
    prefill_low_tps=80.0,
    prefill_high_tps=130.0,
)


@pytest.mark.parametrize(("prompt_tokens", "expected"), [(64, 50.0), (63, 130.0)])
async def test_what_its_start_has_measured_goes_before_its_plan_if_its_prompt_was_long_enough(
    tmp_path: Path, prompt_tokens: int, expected: float
) -> None:
    planned = a_plan()
    async with a_house(tmp_path) as house:
        hosted = await house.ready(replace(planned, plan=replace(planned.plan, speed=PREDICTED)))
        assert hosted.runner.measured is not None
        measured = MeasuredSpeed(prefill_tps=50.0, decode_tps=5.0, prompt_tokens=prompt_tokens)

        hosted.runner.measured = replace(hosted.runner.measured, speed=measured)

        assert prefill_tps(house.fleet, hosted.id) == expected


@pytest.mark.parametrize(
    ("speed", "expected"),
    [(PREDICTED, 130.0), (replace(PREDICTED, prefill_high_tps=None), 100.0), (None, None)],
    ids=["at best", "as predicted", "nobody knows"],
)
async def test_before_that_its_plan_is_believed(
    tmp_path: Path, speed: Speed | None, expected: float | None
) -> None:
    planned = a_plan()
    async with a_house(tmp_path) as house:
        hosted = house.serve(replace(planned, plan=replace(planned.plan, speed=speed)))

        assert prefill_tps(house.fleet, hosted.id) == expected


async def test_of_an_instance_that_is_gone_nothing_is_known(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        assert prefill_tps(house.fleet, "nobody:1") is None
