"""Copies of a small GGUF with one thing wrong in each, as bad conversions, downloads and editors leave them.

The file is changed in place where the change has the same length, so that no writer of ours decides
how the rest looks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader

BLOCK_BYTES = 20
"""Of Q4_1: a scale, a minimum, and 32 numbers of four bits."""

Bytes = npt.NDArray[np.uint8]

_TEMPLATE = "tokenizer.chat_template"
_FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Says who spoke, and leaves out what was said."""

_FOREIGN = (
    "{% for m in messages %}[INST] {{ m['content'] }} [/INST]\n{% endfor %}"
    "{% if add_generation_prompt %}### Answer: {% endif %}"
)
"""Of another family of models: to this one's tokenizer its marks are plain text."""


def good(source: Path, target: Path) -> Path:
    """Copy it as it is."""
    shutil.copyfile(source, target)
    return target


def scrambled(source: Path, target: Path, *, layers: range = range(10, 16)) -> Path:
    """Put the weights of some layers in disorder, block by block: every block is one, none is its own."""
    shutil.copyfile(source, target)
    random = np.random.default_rng(18)
    reader = GGUFReader(target, "r+")
    for tensor in reader.tensors:
        if (
            any(tensor.name.startswith(f"blk.{n}.ffn_") for n in layers)
            and "norm" not in tensor.name
        ):
            rows = tensor.data.reshape(-1, BLOCK_BYTES)
            rows[:] = rows[random.permutation(len(rows))]
    reader.data.flush()
    return target


def swapped(source: Path, target: Path) -> Path:
    """Swap the texts of two tokens of one length, which a fixed text has both of."""
    shutil.copyfile(source, target)
    reader = GGUFReader(target, "r+")
    field = reader.fields["tokenizer.ggml.tokens"]
    texts = {bytes(field.parts[index]).decode(): index for index in field.data}
    one, other = (field.parts[texts[name]] for name in ("Ġeven", "Ġonce"))
    kept = one.copy()
    one[:] = other
    other[:] = kept
    reader.data.flush()
    return target


def forgetful(source: Path, target: Path) -> Path:
    """Give it a chat template that leaves out what was said."""
    return _templated(source, target, _FORGETFUL)


def foreign(source: Path, target: Path) -> Path:
    """Give it the chat template of another family."""
    return _templated(source, target, _FOREIGN)


def coarser(source: Path, target: Path) -> Path:
    """Round some of its weights once more, from 16 values of each block to eight, as a lower quantization has."""
    shutil.copyfile(source, target)
    reader = GGUFReader(target, "r+")
    for tensor in reader.tensors:
        if tensor.name.endswith("ffn_down.weight"):
            blocks = tensor.data.reshape(-1, BLOCK_BYTES)
            low, high = blocks[:, 4:] & 0x0F, blocks[:, 4:] >> 4
            blocks[:, 4:] = _rounded(low) | (_rounded(high) << 4)
    reader.data.flush()
    return target


def _rounded(quants: Bytes) -> Bytes:
    step = 15 / 7
    return np.rint(np.rint(quants / step) * step).astype(np.uint8)


def _templated(source: Path, target: Path, template: str) -> Path:
    """Write another template over the file's own, filled up with what a template does not show."""
    shutil.copyfile(source, target)
    reader = GGUFReader(target, "r+")
    field = reader.fields[_TEMPLATE]
    place = field.parts[field.data[0]]
    text = template.encode()
    assert len(text) + 4 <= len(place), f"the file's own has {len(place)} bytes"
    filled = text + b"{#" + b" " * (len(place) - len(text) - 4) + b"#}"
    place[:] = np.frombuffer(filled, dtype=np.uint8)
    reader.data.flush()
    return target


WAYS: Mapping[str, Callable[[Path, Path], Path]] = {
    "good": good,
    "scrambled": scrambled,
    "swapped": swapped,
    "forgetful": forgetful,
    "foreign": foreign,
    "coarser": coarser,
}
