"""Adapters as tensors beside a model's own, and texts that become vectors: what real loads logged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localllm.events import DeviceId
from localllm.fit.cache import Setting
from localllm.fit.decide import plan
from localllm.fit.graph_parts import adapter_tensor
from localllm.fit.memory import memory_of
from localllm.fit.placing import arrange, on_host
from localllm.fit.plan import Budget, Memory, Wish
from localllm.fit.shape import shape_of
from localllm.formats.adapter import parse_adapter
from localllm.formats.gguf import parse_gguf
from localllm.formats.header import Header, Tensor
from tests.fakes.an_adapter import write_adapter
from tests.smollm2 import smollm2
from tests.unit.fit.a_header import GIB, MIB

PRINTED = 0.01 * MIB
HOST = Budget(DeviceId("cpu"), "the host", 4 * GIB, None, is_host=True)


def the_model() -> Header:
    with smollm2().open("rb") as opened:
        return parse_gguf(opened.read(8 * MIB), file_bytes=smollm2().stat().st_size)


def tensors_of(folder: Path, rank: int, number: int = 0) -> tuple[Tensor, ...]:
    file = write_adapter(folder / "a.gguf", rank=rank)
    found = parse_adapter(file.read_bytes(), file_bytes=file.stat().st_size).tensors
    named = ((t, *t.name.rsplit(".lora_")) for t in found)
    return tuple(replace(t, name=adapter_tensor(weight, half, number)) for t, weight, half in named)


def memory(header: Header, setting: Setting, *, on_device: bool) -> Memory:
    """On the device, without what is on the host beside it; or on the host."""
    shape = shape_of(header)
    where = arrange(shape, [1]) if on_device else on_host(shape)
    kinds = ["vulkan"] if on_device else []
    return memory_of(shape, setting, where, kinds, mixed_batches=not on_device)[0]


@pytest.mark.parametrize(
    ("rank", "on_device", "weights_mib", "compute_mib"),
    [
        (16, False, 92.10 + 9.32, 16.64),
        (64, False, 92.10 + 37.27, 16.64),
        (64, True, 92.10 + 37.27, 16.51),
    ],
)
def test_an_adapter_is_planned_to_the_byte_as_llama_cpp_loads_it(
    tmp_path: Path, rank: int, on_device: bool, weights_mib: float, compute_mib: float
) -> None:
    model = the_model()
    header = replace(model, tensors=(*model.tensors, *tensors_of(tmp_path, rank)))

    found = memory(header, Setting(2048, 2, 512), on_device=on_device)

    assert found.weights == pytest.approx(weights_mib * MIB, abs=PRINTED)
    assert found.compute == pytest.approx(compute_mib * MIB, abs=PRINTED)


def test_two_adapters_of_one_model_are_two(tmp_path: Path) -> None:
    one, two = tensors_of(tmp_path, 16), tensors_of(tmp_path, 16, number=1)
    wish = Wish(context=2048, parallel=2)

    sizes = [
        plan(the_model(), [HOST], replace(wish, adapters=adapters)).memory.weights
        for adapters in ((), one, (*one, *two))
    ]

    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] == sum(t.size_bytes for t in one)


@pytest.mark.parametrize(
    ("micro_batch", "on_device", "logged_mib"),
    [(512, False, 103.64), (2048, False, 414.59), (512, True, 99.14)],
)
def test_a_model_that_could_write_holds_all_logits_of_a_text_that_it_embeds(
    micro_batch: int, on_device: bool, logged_mib: float
) -> None:
    setting = Setting(2048, 2, micro_batch, embeds=True)

    found = memory(the_model(), setting, on_device=on_device)

    assert logged_mib * MIB <= found.compute <= 1.02 * logged_mib * MIB


def test_texts_that_must_be_read_at_once_are_one_micro_batch_and_no_longer() -> None:
    wish = Wish(goal=2048, embeds=True, whole_texts=True)

    planned = plan(the_model(), [HOST], wish)

    assert (planned.context, planned.micro_batch) == (2048, 2048)
    assert (planned.speed, planned.host_cache_bytes) == (None, 0)


def test_a_bound_knows_of_the_logits_too() -> None:
    wish = Wish(context=2048, parallel=2, embeds=True, exact=False)

    assert plan(the_model(), [HOST], wish).memory.compute > 103 * MIB
