"""The header of a model in safetensors files: what its config.json and their tensors say.

It has GGUF's keys and GGUF's names of tensors, so that whatever reads a Header reads this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from localllm.formats.header import Header, Tensor, Value
from localllm.formats.hf_architectures import ARCHITECTURES, STATED_NOWHERE, WITHOUT_HEADS
from localllm.formats.hf_config import Config, bad_config, language_part, parse_config
from localllm.formats.hf_keys import gguf_keys
from localllm.formats.hf_quantization import name_from_tensors, quantization_of
from localllm.formats.hf_tensors import as_gguf

MAX_DRAFT_LAYERS = 64


def header_from_config(
    config: bytes,
    tensors: Sequence[Tensor],
    *,
    file_bytes: int,
    files: int = 1,
    has_chat_template: bool = False,
    name: str | None = None,
) -> Header:
    """Make a header.

    Args:
        config: The whole config.json.
        tensors: Those of all files, as `parse_safetensors` gives them; none where only the
            hyper-parameters are wanted, which leaves sizes at 0.
        file_bytes: Of all safetensors files together.
        files: How many there are.

    Raises:
        BadModelFile: The config is damaged, hostile, or leaves out what nothing can be said
            without.
    """
    whole = parse_config(config)
    language = _with_defaults(language_part(whole))
    kind = language.text("model_type") or whole.text("model_type")
    if kind is None:
        raise bad_config("it does not say its model_type")
    architecture = ARCHITECTURES.get(kind, kind)
    keys = gguf_keys(language, architecture)
    quantization = quantization_of(whole, language)
    own = as_gguf(tensors, quantization, _number(keys, "block_count"))
    _add_draft_layers(keys, own)
    embedding = _required(keys, "embedding_length", "hidden_size")
    heads, heads_kv = _heads(keys, architecture)
    head_dim = embedding // heads if heads else 0
    context = _number(keys, "context_length")
    return Header(
        architecture=architecture,
        name=name,
        quantization=quantization.name or name_from_tensors(own),
        file_bytes=file_bytes,
        parameters=sum(prod(t.shape) for t in own),
        layers=_number(keys, "block_count"),
        context_trained=context or None,
        embedding=embedding,
        feed_forward=_number(keys, "feed_forward_length") or None,
        heads=heads,
        heads_kv=heads_kv,
        key_dim=_number(keys, "attention.key_length") or head_dim,
        value_dim=_number(keys, "attention.value_length") or head_dim,
        vocabulary=_vocabulary(keys, own),
        has_chat_template=has_chat_template,
        tensors=own,
        metadata=_metadata(keys, architecture, name),
        format=quantization.format,
        files=files,
    )


def _with_defaults(config: Config) -> Config:
    defaults = STATED_NOWHERE.get(config.text("model_type") or "")
    if defaults is None:
        return config
    stated = {key: value for key, value in config.values.items() if value is not None}
    return Config({**defaults, **stated})


def _metadata(keys: Mapping[str, Value], architecture: str, name: str | None) -> dict[str, Value]:
    general: dict[str, Value] = {"general.architecture": architecture}
    if name is not None:
        general["general.name"] = name
    return general | {f"{architecture}.{key}": value for key, value in keys.items()}


def _number(keys: Mapping[str, Value], key: str) -> int:
    """0 where there is none, or one per layer."""
    found = keys.get(key)
    return found if isinstance(found, int) else 0


def _required(keys: Mapping[str, Value], key: str, name: str) -> int:
    found = _number(keys, key)
    if not found:
        raise bad_config(f"it does not say its {name}")
    return found


def _heads(keys: Mapping[str, Value], architecture: str) -> tuple[int, tuple[int, ...]]:
    layers = _number(keys, "block_count")
    if architecture in WITHOUT_HEADS:
        return 0, (0,) * layers
    heads = _required(keys, "attention.head_count", "num_attention_heads")
    if heads > _number(keys, "embedding_length"):
        raise bad_config(f"{heads} heads share an embedding that is smaller")
    found = keys.get("attention.head_count_kv", heads)
    if not isinstance(found, tuple):
        return heads, (int(found),) * layers
    return heads, found


def _add_draft_layers(keys: dict[str, Value], tensors: Sequence[Tensor]) -> None:
    """Count layers that only drafts use, where the files have them, as GGUF does."""
    layers = _number(keys, "block_count")
    there = max((_layer(t.name) for t in tensors), default=-1) + 1
    if there <= layers:
        return
    if there - layers > MAX_DRAFT_LAYERS:
        raise bad_config(f"there are tensors of layer {there - 1}, and {layers} layers")
    keys["block_count"] = there
    keys["nextn_predict_layers"] = there - layers
    listed = keys.get("attention.head_count_kv")
    if isinstance(listed, tuple):
        keys["attention.head_count_kv"] = listed + (max(listed),) * (there - layers)


def _layer(name: str) -> int:
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if first == "blk" and number.isdecimal() else -1


def _vocabulary(keys: Mapping[str, Value], tensors: Sequence[Tensor]) -> int:
    stated = _number(keys, "vocab_size")
    rows = next((t.shape[-1] for t in tensors if t.name == "token_embd.weight"), None)
    if not stated and rows is None:
        raise bad_config("it does not say its vocab_size")
    return stated or rows or 0
