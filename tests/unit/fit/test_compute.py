"""Compute buffers against what llama.cpp logged for headers of many architectures, no weights read.

recorded_compute.json has the headers (tensors by kind of layer) and the log's buffers, of
2026-11-24. The processor's: xllamacpp 2026.10.11549. The devices': llama-server b10434 with Vulkan
on Mesa's llvmpipe; models that it leaves to the processor in part are not among them, but some
with fewer experts or words (names that end in -s), which it does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from localllm.fit.cache import Setting
from localllm.fit.compute import compute_bytes
from localllm.fit.graph_parts import UnknownGraph
from localllm.fit.memory import buffers_of
from localllm.fit.placing import Arrangement, arrange, on_host
from localllm.fit.shape import Shape, shape_of
from localllm.fit.tables import tabulate
from localllm.formats.header import Tensor
from tests.unit.fit.a_header import a_tensor, smollm2

MIB = 1 << 20
PRINTED = 0.0051 * MIB
"""The log has two decimals."""

RECORDED: Mapping[str, Any] = json.loads(
    (Path(__file__).parent / "recorded_compute.json").read_text()
)
CASES: list[Mapping[str, Any]] = RECORDED["cases"]
SEVERAL_DEVICES_MIB = {"gemma4-e4b": 600, "q08-l": 58, "qwen3.5-0.8b": 58}
"""How far above the log the bound may be where more than one device has a part; 16 elsewhere.

A small Gemma 4 with inputs of each layer was seen to take the masks once more; E4B does not."""


def tensors_of(recorded: Mapping[str, Any]) -> tuple[Tensor, ...]:
    named = [("", line) for line in recorded["tensors"]]
    for number, kind in enumerate(recorded["order"]):
        named += [(f"blk.{number}.", line) for line in recorded["kinds"][kind]]
    split = ((prefix, *line.split()) for prefix, line in named)
    return tuple(a_tensor(p + name, *map(int, dims), stored=s) for p, name, s, *dims in split)


@cache
def a_shape(name: str) -> Shape:
    recorded = dict(RECORDED["models"][name])
    tensors = tensors_of(recorded)
    metadata = {k: tuple(v) if isinstance(v, list) else v for k, v in recorded["metadata"].items()}
    plain = {k: recorded[k] for k in recorded if k not in ("tensors", "kinds", "order")}
    plain |= {"heads_kv": tuple(recorded["heads_kv"]), "metadata": metadata}
    return shape_of(replace(smollm2(), tensors=tensors, **plain))


def arranged(case: Mapping[str, Any], shape: Shape) -> Arrangement:
    if not case["devices"]:
        return on_host(shape)
    return arrange(
        shape,
        [1] * case["devices"],
        on_devices=case["on_devices"],
        experts_on_host=min(case["experts_on_host"], len(shape.layers)),
    )


def predicted(case: Mapping[str, Any]) -> tuple[int, tuple[int, ...]]:
    shape = a_shape(case["model"])
    setting = Setting(
        *(case[k] for k in ("context", "parallel", "micro_batch", "kv_type", "unified"))
    )
    kinds = ["vulkan"] * case["devices"]
    recent = not case["devices"]
    return compute_bytes(shape, setting, arranged(case, shape), kinds, mixed_batches=recent)


def title(case: Mapping[str, Any]) -> str:
    return "-".join(str(v) for k, v in case.items() if not k.endswith("_bytes"))


@pytest.mark.parametrize("case", [c for c in CASES if not c["devices"]], ids=title)
def test_on_the_processor_the_buffer_is_the_logged_one(case: Mapping[str, Any]) -> None:
    host, devices = predicted(case)

    assert host == pytest.approx(case["host_bytes"], abs=PRINTED)
    assert devices == ()


@pytest.mark.parametrize("case", [c for c in CASES if c["devices"]], ids=title)
def test_with_devices_no_buffer_is_below_the_log_nor_much_above(case: Mapping[str, Any]) -> None:
    host, devices = predicted(case)

    # software devices leave a large output layer to the host: a few copies of one row per slot
    assert host >= case["host_bytes"] - 2 * MIB
    slack = SEVERAL_DEVICES_MIB.get(case["model"], 16) if case["devices"] > 1 else 16
    assert host <= case["host_bytes"] + max(0.05 * case["host_bytes"], slack * MIB)
    for mine, logged in zip(devices, case["devices_bytes"], strict=True):
        assert logged - PRINTED <= mine <= logged + max(0.05 * logged, slack * MIB)


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen3-30b-a3b", "gemma4-e4b", "qwen3.5-0.8b"])
@pytest.mark.parametrize("kinds", [[], ["cuda"], ["vulkan"], ["metal"], ["cuda", "cuda"]])
def test_more_context_never_takes_less(name: str, kinds: list[str]) -> None:
    shape = a_shape(name)
    arrangement = arrange(shape, [1] * len(kinds)) if kinds else on_host(shape)
    sizes = [
        compute_bytes(shape, Setting(context, 2, 512), arrangement, kinds)
        for context in (2048, 8192, 65536)
    ]

    assert [host for host, _ in sizes] == sorted(host for host, _ in sizes)
    for of_device in zip(*(devices for _, devices in sizes), strict=True):
        assert list(of_device) == sorted(of_device)


@pytest.mark.parametrize("name", sorted(RECORDED["models"]))
def test_a_larger_micro_batch_never_takes_less(name: str) -> None:
    shape = a_shape(name)
    sizes = [
        compute_bytes(shape, Setting(16384, 2, tokens), on_host(shape), [])[0]
        for tokens in (64, 256, 512, 2048)
    ]

    assert sizes == sorted(sizes)


def test_inputs_are_there_four_times_where_devices_take_turns() -> None:
    shape, setting = a_shape("smollm2-135m"), Setting(32768, 1, 512)
    mask_bytes = 512 * 32768 * 2

    _, (one,) = compute_bytes(shape, setting, arrange(shape, [1]), ["cuda"])
    _, several = compute_bytes(shape, setting, arrange(shape, [1, 1]), ["cuda", "cuda"])

    assert all(size >= one + 3 * mask_bytes for size in several)


def test_a_device_makes_room_for_experts_that_the_host_keeps() -> None:
    shape, setting = a_shape("qwen3-30b-a3b"), Setting(8192, 1, 512)
    largest = max(t.size_bytes for t in shape.layers[0].experts)
    without = arrange(shape, [1], experts_on_host=len(shape.layers))

    _, (whole,) = compute_bytes(shape, setting, arrange(shape, [1]), ["cuda"])
    _, (borrowing,) = compute_bytes(shape, setting, without, ["cuda"])

    assert borrowing - whole >= largest // 2


def test_a_graph_that_is_not_known_is_bounded_from_above() -> None:
    shape = a_shape("qwen3-0.6b")
    setting, whole = Setting(8192, 1, 512), on_host(shape)
    (known,) = buffers_of(tabulate(shape, []), setting, whole, [])
    nameless = tuple(
        replace(
            layer,
            tensors=tuple(
                replace(t, name=t.name.replace("attn_q.", "attn_w.")) for t in layer.tensors
            ),
        )
        for layer in shape.layers
    )
    foreign = replace(shape, layers=nameless)

    with pytest.raises(UnknownGraph):
        compute_bytes(foreign, setting, whole, [])
    (bound,) = buffers_of(tabulate(foreign, []), setting, whole, [])

    assert known <= bound <= 2 * known


def test_an_architecture_that_was_not_measured_gets_a_margin() -> None:
    shape = a_shape("qwen3-0.6b")
    known, _ = compute_bytes(shape, Setting(8192, 1, 512), on_host(shape), [])
    header = replace(shape.header, architecture="novel")

    unsure, _ = compute_bytes(
        replace(shape, header=header), Setting(8192, 1, 512), on_host(shape), []
    )

    assert unsure == pytest.approx(1.1 * known, rel=0.01)
