"""How the weights beside a config.json are stored, from what the config says of it.

Source: mlx-lm's utils.py (`quantization`), transformers' quantization_config (`quant_method`),
compressed-tensors and ModelOpt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from localllm.formats.gguf import most_bytes
from localllm.formats.header import Format, Tensor
from localllm.formats.hf_config import Config, bad_config

MAX_BITS = 16
MAX_GROUP = 4096
MLX_GROUP, MLX_BITS = 64, 4
BITS = {"4": "INT4", "8": "INT8"}
UNQUANTIZED = {"bf16": "BF16", "f16": "F16", "f32": "F32", "f8_e4m3": "FP8", "f8_e5m2": "FP8"}


@dataclass(frozen=True, slots=True)
class Packing:
    """How one tensor's numbers are packed."""

    bits: int
    group: int
    """Numbers that share a scale."""

    type: str
    """What the tensor is said to be stored as: 4bit, mxfp4."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """What a config says of its weights."""

    format: Format
    name: str | None
    """As people call it: 4bit, MXFP4, FP8, AWQ; None where the tensors have to tell."""

    packing: Packing | None
    """Of all tensors without one of their own; None where numbers are stored one by one."""

    own: Mapping[str, Packing] = field(default_factory=dict)
    """By the tensor's name, its last word left out."""

    def of(self, stem: str) -> Packing | None:
        return self.own.get(stem, self.packing)


def quantization_of(config: Config, language: Config) -> Quantization:
    """Read it from the whole config, or from its language part.

    Raises:
        BadModelFile: A width or a group is none that there can be.
    """
    for part in (config, language):
        mlx = part.part("quantization")
        if mlx is not None and mlx.number("bits") is not None:
            return _mlx(mlx)
    for part in (config, language):
        other = part.part("quantization_config") or part.part("compression_config")
        if other is not None:
            return _other(other)
    return Quantization(Format.SAFETENSORS, None, None)


def name_from_tensors(tensors: Sequence[Tensor]) -> str | None:
    """Name weights that no config names: the type of most bytes."""
    most = most_bytes(tensors)
    return None if most is None else UNQUANTIZED.get(most.lower(), most)


def _mlx(settings: Config) -> Quantization:
    packing = _mlx_packing(settings, None)
    own = {
        stem: _mlx_packing(Config(value), packing)
        for stem, value in settings.values.items()
        if isinstance(value, dict)
    }
    name = packing.type if packing.type.endswith("bit") else packing.type.upper()
    return Quantization(Format.MLX, name, packing, own)


def _mlx_packing(settings: Config, otherwise: Packing | None) -> Packing:
    bits = settings.number("bits") or (otherwise.bits if otherwise else MLX_BITS)
    group = settings.number("group_size") or (otherwise.group if otherwise else MLX_GROUP)
    if not 1 <= bits <= MAX_BITS or group > MAX_GROUP:
        raise bad_config(f"it is quantized to {bits} bits in groups of {group}")
    mode = settings.text("mode") or "affine"
    return Packing(bits, group, f"{bits}bit" if mode == "affine" else mode)


def _other(settings: Config) -> Quantization:
    method = (settings.text("quant_method") or "").lower()
    if method in {"compressed-tensors", "compressed_tensors"}:
        return _compressed(settings)
    if method.startswith("modelopt") or settings.text("quant_algo"):
        return _named((settings.text("quant_algo") or "FP8").upper(), settings)
    return _named(method.upper() or None, settings)


def _compressed(settings: Config) -> Quantization:
    """Name it for its format: nvfp4-pack-quantized, float-quantized, pack-quantized."""
    kind, bits = settings.text("format") or "", _group_bits(settings)
    if kind.startswith(("nvfp4", "mxfp4")):
        return _named(kind[:5].upper(), settings)
    if kind.startswith("float"):
        return _named("FP8", settings)
    return _named(f"INT{bits}", settings, bits=bits)


def _group_bits(settings: Config) -> int:
    groups = settings.part("config_groups")
    for value in groups.values.values() if groups else ():
        weights = Config(value).part("weights") if isinstance(value, dict) else None
        if weights is not None and (bits := weights.number("num_bits")):
            return bits
    return 4


def _named(name: str | None, settings: Config, *, bits: int | None = None) -> Quantization:
    width = bits or settings.number("bits", "w_bit") or (4 if name and name.endswith("4") else 8)
    if not 1 <= width <= MAX_BITS:
        raise bad_config(f"it is quantized to {width} bits")
    group = settings.number("group_size", "q_group_size") or MAX_GROUP
    if name in {"AWQ", "GPTQ"} and not settings.number("bits", "w_bit"):
        width = 4
    return Quantization(Format.SAFETENSORS, name, Packing(width, group, f"{width}bit"))
