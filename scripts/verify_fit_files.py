"""Writes the models of verify_fit as GGUF files, with random numbers or with nothing in them."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Stored
from verify_fit_models import VOCABULARY, Tiny

from localllm.fit.architectures import ENCODERS
from localllm.fit.blueprint_recipes import TOKEN_TYPES
from localllm.fit.outline import UNQUANTIZED

LARGEST_BYTE = 0x2F
"""Any 16 or 32 bits of such bytes are a number below 0.1, so no scale of any type is infinite."""


def write(model: Tiny, folder: Path) -> Path:
    """Write a model; its file is a few tens of MB."""
    path = folder / f"{model.name}.gguf"
    writer = gguf.GGUFWriter(path, model.architecture)
    _say(writer, model)
    _say_vocabulary(writer, model)
    length = _tabulate(writer, model)
    _write_header(writer)
    numbers = np.random.default_rng(0)
    _opened(writer).write(numbers.integers(0, LARGEST_BYTE, length, dtype=np.uint8).tobytes())
    writer.close()
    return path


def _tabulate(writer: gguf.GGUFWriter, model: Tiny) -> int:
    """Say which tensors there are; return the bytes of all, padded."""
    length = 0
    for name, shape in model.table():
        stored = stored_as(model, name, shape)
        block, block_bytes = gguf.GGML_QUANT_SIZES[stored]
        size = prod(shape) // block * block_bytes
        length += writer.ggml_pad(size, writer.data_alignment)
        kind = np.dtype(np.float32)
        writer.add_tensor_info(name, tuple(reversed(shape)), kind, size, raw_dtype=stored)
    return length


def _write_header(writer: gguf.GGUFWriter) -> int:
    """Write all but the numbers; return where these begin."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.flush()
    file = _opened(writer)
    writer.write_padding(file, file.tell())
    return int(file.tell())


def _opened(writer: gguf.GGUFWriter) -> BinaryIO:
    assert writer.fout is not None
    return writer.fout[0]


def stored_as(model: Tiny, name: str, shape: tuple[int, ...]) -> Stored:
    """Choose as llama.cpp's quantization does: norms stay, short rows get smaller blocks."""
    if name.endswith("tid2eid.weight"):
        return Stored.I32
    if len(shape) == 1 or not name.endswith(".weight") or name.endswith(UNQUANTIZED):
        return Stored.F32
    wanted = model.experts_stored if "_exps." in name and model.experts_stored else model.stored
    for each in (Stored[wanted], Stored.Q8_0, Stored.F16):
        if shape[0] % gguf.GGML_QUANT_SIZES[each][0] == 0:
            return each
    raise AssertionError


def _say(writer: gguf.GGUFWriter, model: Tiny) -> None:
    prefix = model.architecture
    epsilon = "layer_norm_epsilon" if prefix in ("bert", "nomic-bert") else "layer_norm_rms_epsilon"
    writer.add_uint32("general.quantization_version", 2)
    writer.add_float32(f"{prefix}.attention.{epsilon}", 1e-5)
    for key, value in model.keys.items():
        match value:
            case bool():
                writer.add_bool(f"{prefix}.{key}", value)
            case int():
                writer.add_uint32(f"{prefix}.{key}", value)
            case float():
                writer.add_float32(f"{prefix}.{key}", value)
            case str():
                writer.add_string(f"{prefix}.{key}", value)
            case tuple():
                flags = key.endswith("_pattern")
                listed = [bool(n) for n in value] if flags else list(value)
                writer.add_array(f"{prefix}.{key}", listed)


def _say_vocabulary(writer: gguf.GGUFWriter, model: Tiny) -> None:
    tokens = [f"t{i}" for i in range(VOCABULARY)]
    ids: tuple[str, ...] = ("bos", "eos")
    if model.architecture in ENCODERS and model.architecture != "gemma-embedding":
        writer.add_string("tokenizer.ggml.model", "bert")
        writer.add_uint32("tokenizer.ggml.token_type_count", TOKEN_TYPES)
        ids = ("padding", "unknown", "bos", "cls", "eos", "seperator", "mask")
    else:
        writer.add_string("tokenizer.ggml.model", "gpt2")
        writer.add_string("tokenizer.ggml.pre", "default")
        writer.add_array("tokenizer.ggml.merges", ["t 0"])
        tokens[-1] = "\u010a"
    for number, name in enumerate(ids):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)
    writer.add_array("tokenizer.ggml.tokens", tokens)
    writer.add_array("tokenizer.ggml.token_type", [1] * VOCABULARY)


def write_sparse(model: Tiny, folder: Path) -> Path:
    """Write a header with a file's length behind it, and nothing in it."""
    path = folder / f"{model.name}.gguf"
    writer = gguf.GGUFWriter(path, model.architecture)
    _say(writer, model)
    writer.add_string("tokenizer.ggml.model", "none")
    writer.add_uint32("tokenizer.ggml.token_type_count", TOKEN_TYPES)
    length = _tabulate(writer, model)
    at = _write_header(writer)
    writer.close()
    os.truncate(path, at + length)
    return path
