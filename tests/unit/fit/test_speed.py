"""What the speed of one stream is made of; and that its constants are what published figures give."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from math import isclose, sqrt
from pathlib import Path

import pytest

from localllm.fit.speed import (
    CACHE_SHARE,
    FITTED,
    PREFILL_SHARE,
    RANGE,
    Speed,
    Stage,
    Work,
    first_token_s,
    predict,
)

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "verify_speed"
PUBLISHED = ROOT / "profiles" / "speed" / "published.toml"
TERA = 10**12


def a_work(**changed: object) -> Work:
    work = Work(
        weight_bytes=5_000_000_000,
        kv_bytes=1_000_000_000,
        layers=40,
        experts=False,
        recurrent=False,
        flops=15e9,
    )
    return replace(work, **changed)


def a_stage(kind: str = "cuda", bandwidth: int | None = TERA, **changed: object) -> Stage:
    return Stage(a_work(**changed), kind, bandwidth, half_precision_flops=100e12)


def speed(*stages: Stage) -> Speed:
    predicted = predict(stages)
    assert predicted is not None
    return predicted


def token_s(*stages: Stage) -> float:
    return 1 / speed(*stages).decode_tps


def layers_s(stage: Stage) -> float:
    """What is left when there is next to nothing to read."""
    return token_s(replace(stage, work=replace(stage.work, weight_bytes=1)))


def test_a_token_takes_the_weights_way_through_memory_and_every_layers_cost() -> None:
    expected = 0.005 / FITTED.bandwidth_share + 40 * FITTED.dense_s

    assert isclose(token_s(a_stage()), expected)


def test_a_full_cache_is_read_once_more_for_every_token() -> None:
    predicted = speed(a_stage())

    cache_s = 1 / predicted.decode_full_tps - 1 / predicted.decode_tps
    assert isclose(cache_s, 0.001 / CACHE_SHARE)


@pytest.mark.parametrize(
    ("recurrent", "experts", "layer_s"),
    [
        (False, False, FITTED.dense_s),
        (True, False, FITTED.recurrent_s),
        (False, True, FITTED.experts_s),
        (True, True, FITTED.experts_s),
    ],
)
def test_a_layer_costs_by_what_the_model_is(recurrent, experts, layer_s) -> None:
    stage = a_stage(recurrent=recurrent, experts=experts)

    assert isclose(layers_s(stage), 40 * layer_s, rel_tol=1e-6)


@pytest.mark.parametrize("kind", ["metal", "vulkan", "cpu"])
@pytest.mark.parametrize("bandwidth", [TERA // 10, TERA])
def test_a_layer_costs_all_but_cuda_devices_the_same_whatever_their_memory(kind, bandwidth) -> None:
    cost = layers_s(a_stage(kind, bandwidth))

    assert isclose(cost, 40 * FITTED.dense_s * FITTED.other_factor, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("bandwidth", "counted"),
    [(500e9, 500e9), (1500e9, 1500e9), (4800e9, 1792e9), (100e9, 273e9)],
)
def test_a_layer_costs_a_cuda_device_less_the_faster_its_memory_within_the_measured_ones(
    bandwidth, counted
) -> None:
    cost = layers_s(a_stage(bandwidth=round(bandwidth)))

    assert isclose(cost, 40 * FITTED.dense_s / sqrt(counted / 1e12), rel_tol=1e-6)


def test_devices_work_one_after_the_other_so_their_times_add_up() -> None:
    one, other = a_stage(), a_stage("metal", TERA // 2)

    assert isclose(token_s(one, other), token_s(one) + token_s(other))


def test_the_range_lies_around_the_prediction() -> None:
    predicted = speed(a_stage())

    assert predicted.decode_low_tps == predicted.decode_tps * RANGE[0] < predicted.decode_tps
    assert predicted.decode_high_tps == predicted.decode_tps * RANGE[1] > predicted.decode_tps
    assert not predicted.measured


@pytest.mark.parametrize("stages", [[], [a_stage(), a_stage(bandwidth=None)]])
def test_nothing_is_predicted_without_work_or_where_a_bandwidth_is_unknown(stages) -> None:
    assert predict(stages) is None


@pytest.mark.parametrize("experts", [False, True])
def test_a_prompt_is_read_at_the_share_of_operations_for_such_models(experts) -> None:
    predicted = speed(a_stage(experts=experts))

    share = PREFILL_SHARE["cuda"][experts]
    assert predicted.prefill_tps == pytest.approx(share * 100e12 / 15e9)
    assert predicted.prefill_low_tps < predicted.prefill_tps < predicted.prefill_high_tps


def test_a_prompt_is_read_by_one_device_after_the_other() -> None:
    one, other = a_stage(), a_stage(flops=30e9)

    expected = 1 / speed(one).prefill_tps + 1 / speed(other).prefill_tps
    assert 1 / speed(one, other).prefill_tps == pytest.approx(expected)


@pytest.mark.parametrize(
    "unknown", [a_stage("metal"), a_stage("cpu"), replace(a_stage(), half_precision_flops=None)]
)
def test_how_fast_a_prompt_is_read_is_unknown_where_no_figure_was_published(unknown) -> None:
    predicted = speed(a_stage(), unknown)

    assert predicted.prefill_tps is None
    assert (predicted.prefill_low_tps, predicted.prefill_high_tps) == (None, None)
    assert first_token_s(predicted, 20_000) is None


def test_the_first_token_waits_for_the_prompt_but_not_for_what_the_cache_has_of_it() -> None:
    predicted = replace(speed(a_stage()), prefill_tps=1000.0, decode_tps=50.0)

    assert first_token_s(predicted, 20_000) == pytest.approx(20.02)
    assert first_token_s(predicted, 20_000, cached_tokens=19_000) == pytest.approx(1.02)


def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=18)


def test_published_speeds_of_devices_left_out_are_met_and_constants_and_docs_are_theirs() -> None:
    done = verify()

    assert done.returncode == 0, done.stderr
    assert "Median error" in done.stdout
    assert "M1 Max" in done.stdout.split("Missed by more than 35%: ")[1]


def test_other_figures_than_those_in_the_code_and_the_docs_are_named(tmp_path: Path) -> None:
    other = tmp_path / "published.toml"
    text = PUBLISHED.read_text()
    assert text.count("tps = 124.4\n") == text.count(", 108]") == 1
    other.write_text(text.replace("tps = 124.4\n", "tps = 12.4\n").replace(", 108]", ", 50]"))

    done = verify("--published", str(other))

    assert done.returncode == 1
    assert "localllm/fit/speed.py has RANGE" in done.stderr
    assert "docs/speed.md has other figures" in done.stderr


def test_a_median_error_over_15_percent_fails(tmp_path: Path) -> None:
    other = tmp_path / "published.toml"
    text = PUBLISHED.read_text().replace("bandwidth_gb_s = 1792\n", "bandwidth_gb_s = 500\n")
    other.write_text(text.replace("bandwidth_gb_s = 273\n", "bandwidth_gb_s = 3000\n"))

    done = verify("--published", str(other))

    assert done.returncode == 1
    assert "over 15%" in done.stderr
