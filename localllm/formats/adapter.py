"""What the file of a LoRA adapter says: which of a model's tensors it changes, and for which kind of model.

Source: llama.cpp, src/llama-adapter.cpp (llama_adapter_lora_init_impl).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localllm.formats.errors import BadModelFile
from localllm.formats.gguf_cursor import shown
from localllm.formats.gguf_table import read_contents
from localllm.formats.header import Tensor

HALVES = (".lora_a", ".lora_b")
TABLE = "token_embd.weight"


@dataclass(frozen=True, slots=True)
class AdapterHeader:
    architecture: str
    """Of the model that it belongs to."""

    tensors: tuple[Tensor, ...]
    """Named after the model's, as in blk.0.attn_q.weight.lora_a."""

    def belongs_to(self, tensors: Sequence[Tensor]) -> bool:
        """Whether a model has all the tensors that it changes, in the right shapes."""
        shapes = {tensor.name: tensor.shape for tensor in tensors}
        return all(_fits(tensor, shapes) for tensor in self.tensors)


def parse_adapter(data: bytes | bytearray | memoryview, *, file_bytes: int) -> AdapterHeader:
    """Read an adapter's header; arguments are those of `parse_gguf`.

    Raises:
        BadModelFile: It is damaged, hostile, or not an adapter's.
        HeaderIncomplete: `data` ends before the header does.
    """
    contents = read_contents(data, file_bytes)
    metadata = contents.metadata
    kind = metadata.text("general.type")
    if kind != "adapter" or metadata.text("adapter.type") != "lora":
        raise BadModelFile(
            "This file is not a LoRA adapter.",
            why=f"it is a file of the type {shown(kind or 'model')}",
            fix="convert the adapter with llama.cpp's convert_lora_to_gguf.py, and name that file",
        )
    return AdapterHeader(
        metadata.architecture, tuple(t for t in contents.tensors if t.name.endswith(HALVES))
    )


def _fits(tensor: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    name, half = tensor.name[: -len(HALVES[0])], tensor.name[-len(HALVES[0]) :]
    shape = shapes.get(name)
    if shape is None or name == TABLE:  # a table's adapter lies the other way round
        return shape is not None
    side = 0 if half == HALVES[0] else 1
    return len(tensor.shape) > side < len(shape) and tensor.shape[side] == shape[side]
