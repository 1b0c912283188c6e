"""What llama.cpp says of a header alone against what it logs when it loads the weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy
import pytest

from localllm.engines.base import Endpoint, Installed, Serving
from localllm.engines.estimate import estimate
from localllm.engines.estimate_log import Estimate, Refused
from localllm.engines.llama_server import LlamaServer
from localllm.engines.load_log import LoadReport, parse_load_log
from localllm.engines.sparse import Part
from localllm.engines.xllamacpp import Xllamacpp
from tests.fakes import vulkan_engine
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(120)]

MIB, GIB = 1 << 20, 1 << 30
SMOLLM2_HEADER_BYTES = 1_785_664
"""Where the first tensor begins; most of it is the vocabulary."""

EMBEDDING, MICRO_BATCH = 576, 512
LOADED = "reserve took"
"""llama.cpp's last word on memory when a context is made."""


def its_header() -> Part:
    with smollm2().open("rb") as file:
        return Part(file.read(SMOLLM2_HEADER_BYTES), smollm2().stat().st_size)


@cache
def xllamacpp() -> Installed:
    return Xllamacpp(dict(os.environ)).find()


def two_devices() -> dict[str, str]:
    return {**os.environ, "GGML_VK_VISIBLE_DEVICES": "0,0"}


@cache
def vulkan() -> Installed:
    found = LlamaServer(str(vulkan_engine.program()), two_devices()).find()
    assert len(found.devices) == 2
    return found


def serving(**more: Any) -> Serving:
    plain: dict[str, Any] = {
        "model_file": smollm2(),
        "file_bytes": smollm2().stat().st_size,
        "alias": "smol",
        "context": 2048,
        "parallel": 1,
        "kv_type": "f16",
        "micro_batch": MICRO_BATCH,
        "threads": 1,
        "host_cache_bytes": 0,
        "layers": 31,
    }
    return Serving(**{**plain, **more})


def estimated(found: Installed, asked: Serving, parts: Sequence[Part] = ()) -> Estimate:
    answered = estimate(found, asked, two_devices(), parts=parts, deadline_s=60)
    assert isinstance(answered, Estimate), answered
    return answered


def loaded(found: Installed, asked: Serving, folder: Path) -> LoadReport:
    """Load for real, as to serve, until all memory is there."""
    engine = Xllamacpp({}) if found.engine == "xllamacpp" else LlamaServer(None, {})
    spec = engine.launch(found, asked, Endpoint(socket=folder / "e.sock"))
    lines = []
    with subprocess.Popen(
        spec.argv,
        env={**two_devices(), **spec.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line)
            if LOADED in line:
                break
        os.killpg(child.pid, signal.SIGKILL)
    assert LOADED in lines[-1], lines[-5:]
    return parse_load_log("".join(lines))


def by_device(report: LoadReport) -> Counter[tuple[str, str]]:
    """Add up buffers; weights on the host are one, be they mapped, pinned or neither."""
    sizes = Counter[tuple[str, str]]()
    for buffer in report.buffers:
        weights_on_host = buffer.use == "model" and buffer.on_host
        device = "host" if weights_on_host else buffer.device
        sizes[device, buffer.use] += buffer.size_bytes
    return sizes


def assert_alike(said: LoadReport, real: LoadReport, *, but: tuple[str, str] | None = None) -> None:
    answered, logged = by_device(said), by_device(real)
    assert answered.keys() == logged.keys()
    for part in answered.keys() - {but}:
        below = MIB if part[1] == "model" else 0.01 * MIB
        assert -0.01 * MIB <= logged[part] - answered[part] <= below, part


@pytest.mark.parametrize(
    ("context", "parallel", "kv_type", "micro_batch"),
    [(2048, 1, "f16", 512), (8192, 4, "f16", 128), (8192, 1, "q8_0", 512), (2048, 4, "q8_0", 128)],
)
def test_a_header_alone_gives_what_a_load_on_the_processor_takes(
    context: int, parallel: int, kv_type: str, micro_batch: int, tmp_path: Path
) -> None:
    asked = serving(context=context, parallel=parallel, kv_type=kv_type, micro_batch=micro_batch)

    said = estimated(xllamacpp(), asked, [its_header()])

    assert_alike(said.report, loaded(xllamacpp(), asked, tmp_path))
    assert said.layer_devices == ("CPU",) * 31


def test_the_whole_file_gives_what_its_header_gives() -> None:
    assert estimated(xllamacpp(), serving()) == estimated(xllamacpp(), serving(), [its_header()])


@pytest.mark.parametrize("layers", [31, 10], ids=["whole", "partly"])
def test_a_header_alone_gives_what_a_load_on_a_device_takes(layers: int, tmp_path: Path) -> None:
    asked = serving(devices=vulkan().devices[:1], split=(layers,), parallel=4)

    said = estimated(vulkan(), asked, [its_header()])

    assert_alike(said.report, loaded(vulkan(), asked, tmp_path))
    assert said.report.offloaded == (layers, 31)
    assert said.layer_devices == ("CPU",) * (31 - layers) + ("Vulkan0",) * layers


def test_over_two_devices_only_the_second_ones_compute_buffer_is_said_too_high(
    tmp_path: Path,
) -> None:
    asked = serving(devices=vulkan().devices, split=(20, 11))

    said = estimated(vulkan(), asked, [its_header()])

    real = loaded(vulkan(), asked, tmp_path)
    inaccurate = ("Vulkan1", "compute")
    assert_alike(said.report, real, but=inaccurate)
    too_high = by_device(said.report)[inaccurate] - by_device(real)[inaccurate]
    activations_in_flight = 4 * MICRO_BATCH * EMBEDDING * 4
    assert 0 <= too_high <= activations_in_flight + 0.01 * MIB
    assert said.layer_devices == ("Vulkan0",) * 20 + ("Vulkan1",) * 11


def test_experts_that_stay_on_the_host_are_told_from_those_on_the_device(tmp_path: Path) -> None:
    parts = a_mixture(tmp_path, layers=8)
    on_device = serving(devices=vulkan().devices[:1], split=(9,), layers=9)

    whole = by_device(estimated(vulkan(), on_device, parts).report)
    kept = by_device(estimated(vulkan(), replace(on_device, experts_on_host=3), parts).report)

    moved = whole["Vulkan0", "model"] - kept["Vulkan0", "model"]
    assert moved == pytest.approx(3 * EXPERTS_BYTES, abs=2 * MIB)
    assert kept["host", "model"] - whole["host", "model"] == pytest.approx(moved, abs=2 * MIB)


def test_parts_of_a_model_are_found_as_one(tmp_path: Path) -> None:
    whole = a_mixture(tmp_path, layers=8)
    parts = a_mixture(tmp_path, layers=8, tensors_per_file=30)

    assert len(parts) > 2
    assert estimated(xllamacpp(), serving(), parts) == estimated(xllamacpp(), serving(), whole)


def test_a_model_of_16_gib_is_measured_in_little_memory(tmp_path: Path) -> None:
    (whole,) = a_mixture(tmp_path, layers=48)
    file = tmp_path / "header"
    file.write_bytes(whole.header)
    asks = (
        "import resource, sys\nfrom pathlib import Path\nfrom tests.integration.test_estimate import *\n"
        "part = Part(Path(sys.argv[1]).read_bytes(), int(sys.argv[2]))\n"
        "said = estimated(xllamacpp(), serving(context=32768), [part]).report\n"
        "print(said.total_bytes, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )

    told = subprocess.check_output(
        [sys.executable, "-c", asks, str(file), str(whole.file_bytes)],
        cwd=Path(__file__).parents[2],
        text=True,
    )

    total_bytes, peak = map(int, told.split())
    assert total_bytes > 16 * GIB
    assert peak * (1 if sys.platform == "darwin" else 1024) < 400 * MIB


@pytest.mark.parametrize("found", [xllamacpp, vulkan], ids=["xllamacpp", "llama-server"])
def test_an_architecture_that_the_engine_does_not_know_is_a_refusal(found: Any) -> None:
    known = its_header()
    renamed = replace(known, header=known.header.replace(b"llama", b"lhama"))

    answered = estimate(found(), serving(), two_devices(), parts=[renamed], deadline_s=60)

    assert answered == Refused("unknown model architecture: 'lhama'", "lhama")


Q4_K = gguf.GGMLQuantizationType.Q4_K
F32 = gguf.GGMLQuantizationType.F32
EXPERTS_BYTES = 3 * 2048 * 768 * 128 // 256 * 144
"""Of one layer of `a_mixture`."""


def a_mixture(folder: Path, *, layers: int, tensors_per_file: int = 0) -> list[Part]:
    """The headers of a model with the dimensions of Qwen3-30B-A3B, and no vocabulary."""
    file = folder / "mixture.gguf"
    writer = gguf.GGUFWriter(file, "qwen3moe", split_max_tensors=tensors_per_file)
    for add, value in (
        (writer.add_block_count, layers),
        (writer.add_embedding_length, 2048),
        (writer.add_context_length, 40960),
        (writer.add_feed_forward_length, 6144),
        (writer.add_expert_feed_forward_length, 768),
        (writer.add_expert_count, 128),
        (writer.add_expert_used_count, 8),
        (writer.add_head_count, 32),
        (writer.add_head_count_kv, 4),
        (writer.add_key_length, 128),
        (writer.add_value_length, 128),
        (writer.add_vocab_size, 4096),
    ):
        add(value)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("none")
    for name, shape in a_mixtures_tensors(layers):
        kind = Q4_K if len(shape) > 1 and "gate_inp" not in name else F32
        block, size = gguf.GGML_QUANT_SIZES[kind]
        size_bytes = int(numpy.prod(shape)) // block * size
        writer.add_tensor_info(name, shape[::-1], numpy.dtype("float32"), size_bytes, kind)
    writer.write_header_to_file(file)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    parts = []
    for opened, tensors in zip(writer.fout, writer.tensors, strict=True):
        writer.write_padding(opened, opened.tell())
        opened.close()
        data_bytes = sum(writer.ggml_pad(tensor.nbytes, 32) for tensor in tensors.values())
        header = Path(opened.name).read_bytes()
        parts.append(Part(header, len(header) + data_bytes))
    return parts


def a_mixtures_tensors(layers: int) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes, the fastest dimension first. Source: qwen3moe.cpp in llama.cpp."""
    in_a_layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (2048,),
        "attn_q": (2048, 4096),
        "attn_k": (2048, 512),
        "attn_v": (2048, 512),
        "attn_output": (4096, 2048),
        "attn_q_norm": (128,),
        "attn_k_norm": (128,),
        "ffn_norm": (2048,),
        "ffn_gate_inp": (2048, 128),
        "ffn_gate_exps": (2048, 768, 128),
        "ffn_up_exps": (2048, 768, 128),
        "ffn_down_exps": (768, 2048, 128),
    }
    return [
        ("token_embd.weight", (2048, 4096)),
        ("output_norm.weight", (2048,)),
        ("output.weight", (2048, 4096)),
        *((f"blk.{i}.{n}.weight", shape) for i in range(layers) for n, shape in in_a_layer.items()),
    ]
