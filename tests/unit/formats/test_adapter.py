"""The header of a LoRA adapter: what it changes, and whether that is this model's."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from localllm.formats.adapter import parse_adapter
from localllm.formats.errors import BadModelFile
from localllm.formats.gguf import parse_gguf
from tests.fakes.an_adapter import write_adapter
from tests.smollm2 import smollm2


def test_an_adapter_names_the_tensors_that_it_changes(tmp_path: Path) -> None:
    file = write_adapter(tmp_path / "a.gguf", rank=4, layers=1, parts=("attn_q",))

    adapter = parse_adapter(file.read_bytes(), file_bytes=file.stat().st_size)

    assert adapter.architecture == "llama"
    assert [(t.name, t.shape, t.type, t.size_bytes) for t in adapter.tensors] == [
        ("blk.0.attn_q.weight.lora_a", (576, 4), "f16", 4608),
        ("blk.0.attn_q.weight.lora_b", (4, 576), "f16", 4608),
    ]


@pytest.mark.parametrize(
    ("width", "layers", "belongs"), [(576, 30, True), (512, 30, False), (576, 31, False)]
)
def test_an_adapter_belongs_to_models_of_its_shape_alone(
    tmp_path: Path, width: int, layers: int, belongs: bool
) -> None:
    file = write_adapter(tmp_path / "a.gguf", rank=4, layers=layers, width=width)
    model = parse_gguf(smollm2().read_bytes(), file_bytes=smollm2().stat().st_size)

    adapter = parse_adapter(file.read_bytes(), file_bytes=file.stat().st_size)

    assert adapter.belongs_to(model.tensors) is belongs


def test_a_model_is_no_adapter() -> None:
    with pytest.raises(BadModelFile, match="not a LoRA adapter"):
        parse_adapter(smollm2().read_bytes(), file_bytes=smollm2().stat().st_size)


def test_an_adapter_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "control.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "ia3")
    writer.add_tensor("direction.1", np.zeros(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    with pytest.raises(BadModelFile, match="not a LoRA adapter"):
        parse_adapter(file.read_bytes(), file_bytes=file.stat().st_size)
