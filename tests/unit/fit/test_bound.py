"""The quick bound on compute buffers: never below the replayed graph, nor so far above that it lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from localllm.fit.bound import compute_bound, widest_floats
from localllm.fit.cache import Setting
from localllm.fit.compute import compute_bytes
from localllm.fit.placing import Arrangement, arrange, on_host
from localllm.fit.shape import Shape
from tests.unit.fit.test_compute import CASES, PRINTED, a_shape, arranged, title

MODELS = (
    *("smollm2-135m", "qwen3-0.6b", "qwen3-30b-a3b", "gemma3-1b", "gemma4-e4b", "gpt-oss-20b"),
    *("deepseek-v2-lite", "mamba2-2.7b", "qwen3.5-0.8b", "phi4-mini", "bert-base", "g4moe-s"),
)
SETTINGS = (Setting(8192, 4, 512), Setting(32_768, 1, 256, "q8_0"))
WAYS = ("on the host", "on a card", "over two cards", "partly", "experts aside")


def laid_out(shape: Shape, way: str) -> Arrangement:
    match way:
        case "on the host":
            return on_host(shape)
        case "on a card":
            return arrange(shape, [1])
        case "over two cards":
            return arrange(shape, [2, 1])
        case "partly":
            return arrange(shape, [1], on_devices=len(shape.layers) // 2)
        case _:
            return arrange(shape, [1], experts_on_host=len(shape.layers) // 3)


def bounded(shape: Shape, setting: Setting, arrangement: Arrangement) -> tuple[int, ...]:
    host, devices = compute_bound(shape, setting, arrangement, widest_floats(shape))
    return host, *devices


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_no_buffer_is_larger_than_its_bound(name: str, way: str) -> None:
    shape = a_shape(name)
    arrangement = laid_out(shape, way)

    for setting in SETTINGS:
        host, devices = compute_bytes(
            shape, setting, arrangement, ["cuda"] * len(arrangement.devices)
        )
        for most, size in zip(bounded(shape, setting, arrangement), (host, *devices), strict=True):
            assert size <= most


@pytest.mark.parametrize("case", CASES, ids=title)
def test_no_buffer_that_was_logged_is_larger_than_its_bound(case: Mapping[str, Any]) -> None:
    shape = a_shape(case["model"])
    asked = ("context", "parallel", "micro_batch", "kv_type", "unified")
    setting = Setting(*(case[key] for key in asked))

    most = bounded(shape, setting, arranged(case, shape))

    logged = (case["host_bytes"], *(case["devices_bytes"] or ()))
    assert all(size <= each + PRINTED for size, each in zip(logged, most, strict=True))


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen3-30b-a3b", "gemma3-1b", "gpt-oss-20b"])
def test_on_one_card_the_bound_is_at_most_half_above(name: str) -> None:
    shape = a_shape(name)
    card = arrange(shape, [1])

    for setting in SETTINGS:
        _, (size,) = compute_bytes(shape, setting, card, ["cuda"])
        assert bounded(shape, setting, card)[1] <= 1.5 * size


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_more_context_or_a_larger_micro_batch_never_lowers_the_bound(name: str, way: str) -> None:
    shape = a_shape(name)
    arrangement = laid_out(shape, way)

    for larger in ([2048, 8192, 65_536], [64, 256, 512]):
        settings = [Setting(n, 4, 512) if n > 512 else Setting(8192, 4, n) for n in larger]
        sizes = [bounded(shape, setting, arrangement) for setting in settings]
        for of_device in zip(*sizes, strict=True):
            assert list(of_device) == sorted(of_device)
