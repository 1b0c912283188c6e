"""What safetensors headers and their index tell, and how broken ones are refused."""

from __future__ import annotations

import json
import struct
from time import process_time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localllm.formats.errors import BadModelFile, HeaderIncomplete
from localllm.formats.safetensors import DTYPE_BITS, MAX_HEADER_BYTES, parse_safetensors
from localllm.formats.safetensors_index import parse_index
from tests.unit.formats.a_safetensors import a_header, entries, parsed

ONE = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
HUGE = 1 << 62


def one(**changes: object) -> bytes:
    return a_header({"a": {**ONE["a"], **changes}})


def test_a_file_tells_its_tensors_in_the_order_of_their_data_innermost_dimension_first() -> None:
    tensors = parsed({"b": ("BF16", (2, 3)), "a": ("F8_E4M3", (4,)), "c": ("U32", (1, 5))})

    assert [(t.name, t.shape, t.type, t.size_bytes) for t in tensors] == [
        ("b", (3, 2), "bf16", 12),
        ("a", (4,), "f8_e4m3", 4),
        ("c", (5, 1), "u32", 20),
    ]


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_every_type_takes_its_bits(dtype: str) -> None:
    (tensor,) = parsed({"a": (dtype, (8, 4))})

    assert tensor.size_bytes == 4 * DTYPE_BITS[dtype]


def test_a_scalar_has_one_element_and_what_has_none_is_left_out() -> None:
    tensors = parsed({"none": ("F32", (0, 7)), "scalar": ("F32", ())})

    assert [(t.name, t.shape) for t in tensors] == [("scalar", (1,))]


def test_a_part_of_a_header_says_how_much_to_read() -> None:
    header = a_header(ONE)
    needed = []
    for there in (3, 8, len(header) - 1):
        with pytest.raises(HeaderIncomplete) as caught:
            parse_safetensors(header[:there], file_bytes=len(header) + 24)
        needed.append(caught.value.needed_bytes)

    assert needed == [8, len(header), len(header)]


BROKEN = {
    "empty": (b"", "0 bytes"),
    "too long a header": (a_header(ONE, length=MAX_HEADER_BYTES + 1), "allowed"),
    "a header of 2^64 bytes": (a_header(ONE, length=(1 << 64) - 1), "allowed"),
    "a header past the end": (a_header(ONE, length=5_000), "the file at"),
    "no JSON": (a_header(b"}{"), "malformed"),
    "no object": (a_header(b"[1]"), "object"),
    "not UTF-8": (a_header(b'{"\xff":1}'), "UTF-8|malformed|utf-8"),
    "nested too deeply": (a_header(b'{"a":' * 200_000), "nested|Expected"),
    "arrays nested too deeply": (a_header(b'{"__metadata__":{"a":' + b"[" * 200_000), "nested"),
    "a tensor that is a number": (a_header({"a": 1}), "Expected"),
    "an unknown type": (one(dtype="Q4_K"), "does not know"),
    "no type": (a_header({"a": {"shape": [], "data_offsets": [0, 24]}}), "does not know"),
    "no place": (a_header({"a": {"dtype": "F32", "shape": []}}), "expected"),
    "a dimension below zero": (one(shape=[-2, -3]), "shape"),
    "a dimension of half": (one(shape=[0.5]), "Expected"),
    "a dimension that is NaN": (
        a_header(json.dumps(ONE).replace("2", "NaN").encode()),
        "malformed",
    ),
    "more than 2^63 elements": (one(shape=[HUGE, HUGE]), "shape"),
    "a product of 2^64 elements, which is 0 in 64 bits": (one(shape=[1 << 32, 1 << 32]), "shape"),
    "nine dimensions": (one(shape=[1, 1, 1, 1, 1, 1, 1, 2, 3]), "shape"),
    "more values than any model has": (a_header(b"{" + b'"":{"":1},' * 300_000), "values"),
    "thousands of dimensions": (one(shape=[HUGE] * 5_000), "shape"),
    "a shape that is not what its bytes are": (one(shape=[2, 4]), "does not take"),
    "half a byte": (a_header({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}}), "take"),
    "an end before the beginning": (one(data_offsets=[24, 0]), "expected"),
    "a hole": (one(data_offsets=[8, 32]), "expected"),
    "an overlap": (a_header({**ONE, "b": ONE["a"]}), "expected"),
    "past the end": (one(shape=[200], data_offsets=[0, 800]), "its data at"),
    "data behind the last tensor": (one(shape=[2], data_offsets=[0, 8]), "its data at"),
    "an offset of 2^70": (one(data_offsets=[0, 1 << 70]), "does not take"),
    "a tensor twice": (
        a_header(b'{"a":%(e)s,"a":%(e)s}' % {b"e": json.dumps(ONE["a"]).encode()}),
        "twice",
    ),
    "more tensors than any model has": (
        a_header(entries({f"{i}": ("F32", (0,)) for i in range(30_000)})),
        "30000 tensors",
    ),
}


@pytest.mark.parametrize(("header", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_header_is_refused_soon_with_what_is_wrong(header: bytes, says: str) -> None:
    began = process_time()

    with pytest.raises(BadModelFile, match=says):
        parse_safetensors(header, file_bytes=len(header) + 24 * bool(header))

    assert process_time() - began < 0.25  # 50 ms and a slow, busy machine


def an_index(names: list[str]) -> bytes:
    return json.dumps(
        {"metadata": {"total_size": 9}, "weight_map": {f"t{i}": n for i, n in enumerate(names)}}
    ).encode()


def test_an_index_names_each_file_once() -> None:
    names = ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"]

    assert parse_index(an_index(names * 40_000)) == tuple(sorted(names))


BAD_INDEX = {
    "no JSON": (b"{", "truncated"),
    "no map": (b'{"weight_map": 1}', "file's name"),
    "no key": (b"{}", "weight_map"),
    "an empty map": (an_index([]), "no file"),
    "numbers": (b'{"weight_map": {"a": 1}}', "no file"),
    "a folder": (an_index(["a/b.safetensors"]), "a/b"),
    "the folder above": (an_index(["../b.safetensors"]), r"\.\./b"),
    "only dots": (an_index([".."]), "names the file"),
    "another system's folder": (an_index(["a:b.safetensors"]), "a:b"),
    "a name that is not UTF-8": (b'{"weight_map": {"a": "b\xf3.safetensors"}}', "."),
    "an escape": (b'{"weight_map": {"a": "..\\u002fb.safetensors"}}', "file's name"),
    "a backslash": (an_index(["a\\b.safetensors"]), "file's name"),
    "another kind of file": (an_index(["pytorch_model.bin"]), "names the file"),
    "a name with a line's end in it": (b'{"weight_map": {"a": "b\n.safetensors"}}', "."),
    "nested too deeply": (b'{"weight_map":' + b"[" * 100_000, "nested"),
    "more files than any model has": (
        an_index([f"{i}.safetensors" for i in range(5_000)]),
        "4096 files",
    ),
    "a name without an end": (an_index(["x" * 9_000_000 + ".safetensors"]), "no file"),
}


@pytest.mark.parametrize(("data", "says"), BAD_INDEX.values(), ids=BAD_INDEX)
def test_a_broken_index_is_refused_with_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(BadModelFile, match=says):
        parse_index(data)


WHOLE = a_header(entries({"a": ("F32", (2, 3)), "b": ("BF16", (4,))}))


@given(
    st.lists(
        st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=9)), max_size=4
    ),
    st.integers(0, 40),
)
@hypothesis_settings(deadline=None, max_examples=200, derandomize=True)
def test_no_edit_of_a_header_leads_to_any_other_error(
    edits: list[tuple[int, bytes]], beyond: int
) -> None:
    data = bytearray(WHOLE)
    for at, patch in edits:
        data[at : at + len(patch)] = patch

    try:
        tensors = parse_safetensors(bytes(data), file_bytes=len(data) + beyond)
    except (BadModelFile, HeaderIncomplete):
        return

    (length,) = struct.unpack_from("<Q", data)
    assert sum(t.size_bytes for t in tensors) == len(data) + beyond - 8 - length
