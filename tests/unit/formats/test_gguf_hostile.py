"""Damaged and hostile headers: one error that says what is wrong, soon and cheaply."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localllm.formats.errors import BadModelFile, HeaderIncomplete
from localllm.formats.gguf import parse_gguf
from tests.unit.formats.a_gguf import (
    ARRAY,
    F32_VALUE,
    PLAIN,
    Q4_0,
    STRING,
    Line,
    Raw,
    a_file,
    a_header,
    a_line,
    a_list,
    a_text,
)

HUGE = (1 << 64) - 1
SOUND = a_header()


def started(version: int, order: str = "<") -> bytes:
    return b"GGUF" + struct.pack(f"{order}I", version)


def with_key(key: str, value: object) -> bytes:
    return a_header({**PLAIN, key: value})


def with_tensor(*lines: Line) -> bytes:
    return a_header(tensors=lines)


BROKEN = {
    "empty": (b"", "0 bytes|4 bytes"),
    "another format": (b"PK\x03\x04" + bytes(64), "begins with"),
    "version 1": (a_header(start=started(1)), "version 1"),
    "version 4": (a_header(start=started(4)), "version 4"),
    "big-endian": (a_header(start=started(3, ">")), "big-endian"),
    "more keys than bytes": (a_header(counts=(1, HUGE)), "keys"),
    "more tensors than bytes": (a_header(counts=(HUGE, len(PLAIN))), "the file has"),
    "a key twice": (a_header([*PLAIN.items(), ("general.name", "x")]), "twice"),
    "a text of 4 GB": (with_key("x", Raw(struct.pack("<IQ", STRING, 1 << 32))), "text of"),
    "a text past the end": (with_key("x", Raw(struct.pack("<IQ", STRING, 9999))), "the file has"),
    "a text that is no text": (with_key("x", Raw(struct.pack("<I", 8) + a_text(b"\xff"))), "UTF-8"),
    "an unknown type": (with_key("x", Raw(struct.pack("<I", 99))), "type 99"),
    "a list of lists": (with_key("x", a_list(ARRAY, 1)), "list of values of type 9"),
    "a list of 2^64 texts": (with_key("x", a_list(STRING, HUGE)), "the file has"),
    "a list of 2^64 numbers": (with_key("x", a_list(F32_VALUE, HUGE)), "the file has"),
    "a list with a text of 4 GB": (
        with_key("x", a_list(STRING, 2, struct.pack("<Q", 1 << 32))),
        "the file has",
    ),
    "no architecture": (a_header({}), "architecture"),
    "no layers": (a_header({"general.architecture": "llama"}), "block_count"),
    "zero layers": (with_key("llama.block_count", 0), "is 0"),
    "four billion layers": (with_key("llama.block_count", HUGE >> 32), "layers"),
    "NaN layers": (with_key("llama.block_count", float("nan")), "not a whole number"),
    "NaN heads": (with_key("llama.attention.head_count", float("nan")), "not a whole number"),
    "half a context": (with_key("llama.context_length", 0.5), "not a whole number"),
    "an embedding that is true": (with_key("llama.embedding_length", True), "not a whole number"),
    "a context that is a text": (with_key("llama.context_length", "long"), "not a whole number"),
    "heads below zero": (with_key("llama.attention.head_count_kv", [-1, 2]), "not a whole number"),
    "heads of 3 layers of 2": (with_key("llama.attention.head_count_kv", [1, 2, 3]), "3 layers"),
    "more heads than numbers": (with_key("llama.attention.head_count", 65), "share"),
    "alignment 0": (with_key("general.alignment", 0), "power of 2"),
    "alignment 24": (with_key("general.alignment", 24), "power of 2"),
    "alignment NaN": (with_key("general.alignment", float("nan")), "power of 2"),
    "no dimensions": (with_tensor(Line(shape=())), "dimensions"),
    "five dimensions": (with_tensor(Line(shape=(1,) * 5)), "dimensions"),
    "a dimension of zero": (with_tensor(Line(shape=(64, 0))), "shape"),
    "a dimension below zero": (with_tensor(Line(shape=(HUGE,))), "shape"),
    "more than 2^63 elements": (with_tensor(Line(shape=(1 << 32, 1 << 32))), "shape"),
    "an unknown storage type": (with_tensor(Line(type=4)), "type 4"),
    "half a block": (with_tensor(Line(shape=(33, 2), type=Q4_0)), "blocks"),
    "a crooked offset": (with_tensor(Line(offset=8)), "0 is expected"),
    "weights elsewhere": (with_tensor(Line(offset=1 << 40)), "0 is expected"),
    "weights past the end": (with_tensor(Line(shape=(64, 1 << 40))), "ends at byte"),
    "tensors that overlap": (with_tensor(Line(), Line("b", (64, 3))), "768 is expected"),
    "a hole between tensors": (with_tensor(Line(), Line("b", (64, 3), 0, 800)), "768 is expected"),
    "a tensor's name of 64 bytes": (with_tensor(Line("x" * 64)), "text of 64"),
    "more tensors than any model has": (
        with_tensor(*(Line(f"{i}", (1,), 0, 32 * i) for i in range(11_000))),
        "more than any model's",
    ),
    "more keys than any model has": (
        a_header({**PLAIN, **{f"k{i}": 1 for i in range(17_000)}}),
        "keys|more than any model's",
    ),
    "more texts than any model has": (
        with_key("x", a_list(STRING, 1_000_000, bytes(8_000_000))),
        "more than any model's",
    ),
    "a last text past the end, with nothing behind it": (
        a_header({**PLAIN, "x": a_list(STRING, 1, struct.pack("<Q", 9999))}, ()),
        "the file has",
    ),
    "a key without a name": (with_key("", 1), "without a name"),
    "an architecture's name of 99 letters": (
        with_key("general.architecture", "x" * 99),
        "not a name",
    ),
    "an endless epsilon": (with_key("llama.x", float("inf")), "is inf"),
    "a frequency that is none": (with_key("llama.rope.freq_base", float("nan")), "is nan"),
    "a context of 2^40": (
        with_key("llama.context_length", Raw(struct.pack("<IQ", 10, 1 << 40))),
        "32 bits",
    ),
    "a part that there is not": (
        a_header({**PLAIN, "split.count": 2, "split.no": 2}),
        "part 2 of 2",
    ),
    "a part of half": (a_header({**PLAIN, "split.count": 1.5}), "of 1.5"),
    "two tensors of one name": (with_tensor(Line(), Line()), "same name"),
}


@pytest.mark.parametrize(("header", "says"), BROKEN.values(), ids=BROKEN)
def test_is_refused_with_what_is_wrong(header: bytes, says: str) -> None:
    data = a_file(header)

    with pytest.raises(BadModelFile, match=says) as caught:
        parse_gguf(data[: len(header)] if not header else data, file_bytes=len(data) * bool(header))

    assert (caught.value.exit_code, caught.value.http_status) == (1, 422)
    assert caught.value.why
    assert caught.value.fix


def test_a_cut_off_file_is_bad_wherever_it_was_cut() -> None:
    for length in range(len(SOUND)):
        with pytest.raises(BadModelFile):
            parse_gguf(SOUND[:length], file_bytes=length)


def test_a_part_of_a_header_says_how_much_to_read_until_it_is_enough() -> None:
    whole, asked = a_file(SOUND), [0]
    while asked[-1] < len(SOUND):
        with pytest.raises(HeaderIncomplete) as caught:
            parse_gguf(SOUND[: asked[-1]], file_bytes=len(whole))
        asked.append(caught.value.needed_bytes)

    assert all(before < after for before, after in pairwise(asked))
    assert parse_gguf(SOUND[: asked[-1]], file_bytes=len(whole)).name == "Tiny"


def test_a_header_of_a_gigabyte_is_a_lie_however_large_the_file() -> None:
    with pytest.raises(BadModelFile, match="a header of"):
        parse_gguf(with_key("x", a_list(F32_VALUE, 1 << 28)), file_bytes=1 << 40)


def texts(lengths: Sequence[int]) -> Raw:
    return a_list(STRING, len(lengths), b"".join(a_text(bytes(n)) for n in lengths))


TOKENS, MERGES = [*range(1, 17)] * (262_144 // 16), [*range(3, 13)] * (514_906 // 10)
GEMMA = {**PLAIN, "tokenizer.ggml.tokens": texts(TOKENS), "tokenizer.ggml.merges": texts(MERGES)}
COSTLY = {
    "the largest vocabulary there is, in a damaged file": a_header(GEMMA, [Line(type=4)]),
    "as many short texts as are allowed": with_key("x", texts([5] * 945_000)),
    "as many lists as are allowed": a_header(
        {f"k{i}": texts([3] * 32_000) for i in range(9)} | {"x": texts([300] * 20_000)}
    ),
    "texts as long as a pattern knows": with_key("x", texts([127] * 160_000)),
    "one long text among many": with_key("x", texts(([3] * 255 + [200]) * 900)),
    "as many tensors as are allowed": with_tensor(
        *(Line(f"{i}", (1,), 0, 32 * i) for i in range(10_500)), Line("x")
    ),
    "as many keys as are allowed": a_header({f"k{i}": 1 for i in range(16_000)}),
    "more text than is allowed": a_header(
        {f"k{i}": "a" * 3_900_000 + "\U0001f600" for i in range(4)}
    ),
    "as much text as is allowed": with_key("x", "a" * 3_900_000 + "\U0001f600"),
}


@pytest.mark.parametrize("data", COSTLY.values(), ids=COSTLY)
def test_the_costliest_headers_are_refused_soon_and_in_little_memory(data: bytes) -> None:
    began = process_time()
    with pytest.raises(BadModelFile):
        parse_gguf(data, file_bytes=len(data))
    taken_s = process_time() - began
    tracemalloc.start()
    with pytest.raises(BadModelFile):
        parse_gguf(data, file_bytes=len(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken_s < 0.5  # 50 ms, and a slow, busy machine
    assert peak < 50e6


def test_the_largest_vocabulary_there_is_can_be_read() -> None:
    data = a_file(a_header(GEMMA))

    assert parse_gguf(data, file_bytes=len(data)).vocabulary == 262_144


@pytest.mark.parametrize("long", [128, 255, 256, 70_000])
def test_a_long_text_anywhere_in_a_long_list_is_stepped_over(long: int) -> None:
    lengths = [(i % 9) for i in range(40_000)]
    for at in (0, 255, 256, 20_000, 39_999):
        lengths[at] = long
    data = a_file(a_header({**PLAIN, "x": texts(lengths), "llama.vocab_size": 77}))

    assert parse_gguf(data, file_bytes=len(data)).vocabulary == 77


@pytest.mark.parametrize("count", [40_000, 2_000])
def test_a_list_that_is_cut_off_says_how_much_its_texts_take_at_least(count: int) -> None:
    data = with_key("x", texts([4] * count))
    cut = len(data) - len(a_line(Line())) - 12 * 600

    with pytest.raises(HeaderIncomplete) as caught:
        parse_gguf(data[:cut], file_bytes=1 << 30)

    assert cut + 8 * 590 < caught.value.needed_bytes <= len(data)


@pytest.mark.parametrize("length", [1 << 31, 1 << 62, HUGE])
@pytest.mark.parametrize("at", [0, 7, 33_000])
def test_a_text_in_a_list_that_claims_gigabytes_is_refused(length: int, at: int) -> None:
    data = bytearray(with_key("x", a_list(STRING, 40_000, bytes(8 * 40_000))))
    begin = data.index(bytes(8 * 40_000))
    data[begin + 8 * at : begin + 8 * at + 8] = struct.pack("<Q", length)

    with pytest.raises(BadModelFile, match="the file has"):
        parse_gguf(data, file_bytes=len(data))


@pytest.mark.parametrize(("kind", "count"), [(STRING, 1 << 14), (F32_VALUE, 1 << 22), (5, 1 << 22)])
def test_a_list_that_is_not_kept_takes_no_memory(kind: int, count: int) -> None:
    data = with_key("x", a_list(kind, count, bytes(count * (8 if kind == STRING else 4))))
    tracemalloc.start()

    parse_gguf(data, file_bytes=len(data) + 4096)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 17


EDITS = st.lists(
    st.tuples(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=4,
)


@given(EDITS, st.integers(0, 64), st.sampled_from([0, 1, 100, 1 << 20, 1 << 50]))
@hypothesis_settings(deadline=None, max_examples=200, derandomize=True)
def test_no_edit_of_a_header_leads_to_any_other_error(
    edits: list[tuple[int, bytes]], cut: int, beyond: int
) -> None:
    data = bytearray(a_file(SOUND))
    for at, patch in edits:
        data[at : at + len(patch)] = patch
    shorter = data[: len(data) - cut]

    try:
        header = parse_gguf(shorter, file_bytes=len(shorter) + beyond)
    except (BadModelFile, HeaderIncomplete):
        return

    assert header.layers > 0
    assert header.parameters > 0


@given(st.binary(max_size=300))
@hypothesis_settings(deadline=None, max_examples=100, derandomize=True)
def test_no_bytes_behind_the_magic_lead_to_any_other_error(noise: bytes) -> None:
    data = started(3) + struct.pack("<QQ", 1, 1) + noise

    with pytest.raises((BadModelFile, HeaderIncomplete)):
        parse_gguf(data, file_bytes=1 << 30)
