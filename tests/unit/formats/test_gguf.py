"""What a sound GGUF file tells, with the `gguf` package as second opinion."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from time import perf_counter

import gguf
import numpy as np
import pytest

from localllm.formats.errors import BadModelFile
from localllm.formats.gguf import parse_gguf
from localllm.formats.header import Header
from tests.smollm2 import smollm2
from tests.unit.formats.a_gguf import PLAIN, Line, a_file, a_header


def read(path: Path) -> Header:
    return parse_gguf(path.read_bytes(), file_bytes=path.stat().st_size)


def of(**changes: object) -> Header:
    keys = {k: v for k, v in {**PLAIN, **changes}.items() if v is not None}
    data = a_file(a_header(keys))
    return parse_gguf(data, file_bytes=len(data))


def test_smollm2_is_what_its_card_says() -> None:
    header = read(smollm2())

    assert (header.architecture, header.quantization) == ("llama", "Q4_1")
    assert (header.parameters, header.weights_bytes) == (134_515_008, 96_576_768)
    assert (header.layers, header.embedding, header.feed_forward) == (30, 576, 1536)
    assert (header.heads, header.heads_kv) == (9, (3,) * 30)
    assert (header.key_dim, header.value_dim) == (64, 64)
    assert (header.vocabulary, header.context_trained) == (49_152, 8192)
    assert header.has_chat_template


def test_every_tensor_and_scalar_is_what_the_gguf_package_reads() -> None:
    second = gguf.GGUFReader(smollm2())
    listed = gguf.GGUFValueType.ARRAY

    header = read(smollm2())

    assert [(t.name, t.shape, t.type, t.size_bytes) for t in header.tensors] == [
        (t.name, tuple(map(int, t.shape)), t.tensor_type.name.lower(), int(t.n_bytes))
        for t in second.tensors
    ]
    assert header.metadata == {
        key: field.contents()
        for key, field in second.fields.items()
        if listed not in field.types and not key.startswith("GGUF.")
    }


def test_a_file_of_the_gguf_writer_is_read_with_its_own_numbers_per_layer(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "gemma3")
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv([4, 1, 2])
    writer.add_feed_forward_length([128, 256, 128])
    writer.add_key_length(32)
    writer.add_value_length(8)
    writer.add_vocab_size(11)
    writer.add_custom_alignment(64)
    writer.add_tensor("a", np.zeros((2, 64), dtype=np.float32))
    writer.add_tensor("b", np.zeros((3, 5), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    header = read(tmp_path / "a.gguf")

    assert (header.heads_kv, header.feed_forward) == ((4, 1, 2), None)
    assert (header.key_dim, header.value_dim, header.vocabulary) == (32, 8, 11)
    assert (header.context_trained, header.name) == (None, None)
    assert [(t.shape, t.size_bytes) for t in header.tensors] == [((64, 2), 512), ((5, 3), 30)]


def test_version_2_is_read_like_version_3() -> None:
    data = a_file(a_header(start=b"GGUF" + struct.pack("<I", 2)))

    assert parse_gguf(data, file_bytes=len(data)) == of()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"llama.vocab_size": 7}, 7),
        ({}, 3),
        ({"tokenizer.ggml.tokens": None}, 3),
    ],
    ids=["stated", "tokens counted", "rows of the token table"],
)
def test_the_vocabulary_is_known_from(changes: dict[str, object], expected: int) -> None:
    assert of(**changes).vocabulary == expected


@pytest.mark.parametrize(
    ("file_type", "expected"),
    [(15, "Q4_K_M"), (1024 + 15, "Q4_K_M"), (38, "MXFP4_MOE"), (999, "F32"), (None, "F32")],
)
def test_the_quantization_is_the_stated_one_or_that_of_most_bytes(
    file_type: int | None, expected: str
) -> None:
    assert of(**{"general.file_type": file_type}).quantization == expected


def test_heads_without_a_dimension_of_their_own_share_the_embedding() -> None:
    header = of(**{"llama.attention.head_count_kv": None})

    assert (header.key_dim, header.value_dim, header.heads_kv) == (16, 16, (4, 4))


def test_a_model_without_attention_has_no_heads() -> None:
    header = of(**{"llama.attention.head_count": 0, "llama.attention.head_count_kv": 0})

    assert (header.heads, header.heads_kv, header.key_dim) == (0, (0, 0), 0)


def test_a_vocabulary_is_not_among_the_metadata() -> None:
    assert set(of().metadata) == set(PLAIN) - {"tokenizer.ggml.tokens"}


def test_the_header_alone_tells_everything_when_the_file_is_elsewhere() -> None:
    header = a_header()

    assert parse_gguf(header, file_bytes=len(a_file(header))) == of()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"general.architecture": "clip"}, "an addition to a model"),
        ({"general.type": "mmproj"}, "an addition to a model"),
        ({"general.type": "adapter"}, "an addition to a model"),
        ({"split.count": 3}, "missing: 2, 3"),
        ({"split.count": 3, "split.no": 1}, "missing: 1, 3"),
        ({"split.count": 60_000}, "and 59991 more"),
    ],
)
def test_what_is_not_a_whole_model_is_refused_with_a_reason(
    changes: dict[str, object], says: str
) -> None:
    with pytest.raises(BadModelFile, match=says):
        of(**changes)


def test_a_memory_map_can_be_closed_after_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(a_header(tensors=[Line(shape=(64, 1 << 20))]))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        with pytest.raises(BadModelFile):
            parse_gguf(mapped, file_bytes=len(mapped))


def test_a_header_of_49152_tokens_is_read_within_a_tenth_of_a_second() -> None:
    data, taken = smollm2().read_bytes(), []

    for _ in range(5):
        began = perf_counter()
        parse_gguf(data, file_bytes=len(data))
        taken.append(perf_counter() - began)

    assert min(taken) < 0.1
