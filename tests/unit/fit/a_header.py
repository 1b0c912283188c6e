"""Headers of models: SmolLM2-135M as it is, and larger ones made up."""

from __future__ import annotations

from dataclasses import replace

from localllm.formats.header import Header, Tensor, Value
from localllm.formats.quantization import STORAGE_TYPES, tensor_bytes

MIB, GIB = 1 << 20, 1 << 30
TYPES = {storage.name: storage for storage in STORAGE_TYPES.values()}


def a_tensor(name: str, *shape: int, stored: str = "q4_1") -> Tensor:
    return Tensor(name, shape, stored, tensor_bytes(TYPES[stored], shape))


def a_layer(number: int, embedding: int, feed_forward: int, kv: int) -> list[Tensor]:
    block = f"blk.{number}."
    return [
        a_tensor(f"{block}attn_norm.weight", embedding, stored="f32"),
        a_tensor(f"{block}attn_q.weight", embedding, embedding),
        a_tensor(f"{block}attn_k.weight", embedding, kv),
        a_tensor(f"{block}attn_v.weight", embedding, kv),
        a_tensor(f"{block}attn_output.weight", embedding, embedding),
        a_tensor(f"{block}ffn_norm.weight", embedding, stored="f32"),
        a_tensor(f"{block}ffn_gate.weight", embedding, feed_forward),
        a_tensor(f"{block}ffn_up.weight", embedding, feed_forward),
        a_tensor(f"{block}ffn_down.weight", feed_forward, embedding),
    ]


def smollm2() -> Header:
    """SmolLM2-135M-Instruct Q4_1, tensor by tensor."""
    return a_model(
        layers=30, embedding=576, feed_forward=1536, heads=9, heads_kv=3, vocabulary=49_152
    )


def llama_8b() -> Header:
    """Llama 3.1 8B, with an output layer of its own and a context of 131,072."""
    header = a_model(
        layers=32, embedding=4096, feed_forward=14_336, heads=32, heads_kv=8, vocabulary=128_256
    )
    output = a_tensor("output.weight", 4096, 128_256, stored="q8_0")
    return replace(header, tensors=(*header.tensors, output), context_trained=131_072)


def a_model(
    *, layers: int, embedding: int, feed_forward: int, heads: int, heads_kv: int, vocabulary: int
) -> Header:
    dim = embedding // heads
    tensors = [
        a_tensor("token_embd.weight", embedding, vocabulary, stored="q8_0"),
        a_tensor("output_norm.weight", embedding, stored="f32"),
    ]
    for number in range(layers):
        tensors += a_layer(number, embedding, feed_forward, heads_kv * dim)
    return Header(
        architecture="llama",
        name="A model",
        quantization="Q4_1",
        file_bytes=sum(t.size_bytes for t in tensors) + MIB,
        parameters=1,
        layers=layers,
        context_trained=8192,
        embedding=embedding,
        feed_forward=feed_forward,
        heads=heads,
        heads_kv=(heads_kv,) * layers,
        key_dim=dim,
        value_dim=dim,
        vocabulary=vocabulary,
        has_chat_template=True,
        tensors=tuple(tensors),
        metadata={},
    )


def with_keys(header: Header, **keys: int | float | str | bool) -> Header:
    """Add keys of the architecture, their dots written as double underscores."""
    own = {f"{header.architecture}.{k.replace('__', '.')}": v for k, v in keys.items()}
    return replace(header, metadata={**header.metadata, **own})


def an_outline(
    architecture: str, *, layers: int, heads: int, heads_kv: int, dim: int, **keys: Value
) -> Header:
    """Hyper-parameters alone, no tensors; `keys` without the architecture's name."""
    own = {f"{architecture}.{key}": value for key, value in keys.items()}
    return replace(
        smollm2(),
        architecture=architecture,
        layers=layers,
        heads=heads,
        heads_kv=(heads_kv,) * layers,
        key_dim=dim,
        value_dim=dim,
        tensors=(),
        metadata=own,
    )
