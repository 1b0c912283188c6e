"""A model in several files is the model it was before it was split."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import pytest

from localllm.formats.errors import BadModelFile, HeaderIncomplete
from localllm.formats.gguf import parse_gguf
from localllm.formats.gguf_parts import Part, join_parts, parse_gguf_part, split_name
from tests.unit.formats.a_gguf import PLAIN, Line, Raw, a_file, a_header

WHOLE = (Line(), Line("blk.0.a", (64, 2)), Line("blk.1.a", (64, 1)))


def u16(value: int) -> Raw:
    return Raw(struct.pack("<IH", 2, value))


def placed(lines: Sequence[Line]) -> list[Line]:
    at, found = 0, []
    for line in lines:
        found.append(Line(line.name, line.shape, line.type, at))
        at += line.shape[0] * line.shape[1] * 4
    return found


def part_bytes(
    number: int, count: int, lines: Sequence[Line], changes: Mapping[str, object] | None = None
) -> bytes:
    """A part as llama-gguf-split writes it: the first has all keys."""
    keys: dict[str, object] = {
        "split.no": u16(number - 1),
        "split.tensors.count": Raw(struct.pack("<Ii", 5, 3)),
        "split.count": u16(count),
    }
    lines = placed(lines)
    return a_file(
        a_header({**(PLAIN if number == 1 else {}), **keys, **(changes or {})}, lines), lines
    )


def part(number: int, count: int, *lines: Line, **changes: object) -> Part:
    data = part_bytes(number, count, lines, changes)
    return parse_gguf_part(data, file_bytes=len(data))


FIRST, SECOND = part(1, 2, WHOLE[0]), part(2, 2, *WHOLE[1:])


def test_parts_in_any_order_are_the_whole_model() -> None:
    whole = a_file(a_header(tensors=placed(WHOLE)), WHOLE)
    expected = parse_gguf(whole, file_bytes=len(whole))

    joined = join_parts([SECOND, FIRST])

    assert joined.tensors == expected.tensors
    assert joined.parameters == expected.parameters
    assert (joined.name, joined.layers, joined.vocabulary) == ("Tiny", 2, 3)
    assert joined.files == 2
    assert joined.file_bytes == FIRST.file_bytes + SECOND.file_bytes


def test_a_first_part_without_tensors_is_joined_too() -> None:
    joined = join_parts([part(1, 2), part(2, 2, *WHOLE)])

    assert [t.name for t in joined.tensors] == [line.name for line in WHOLE]


def test_a_whole_file_is_its_own_only_part() -> None:
    data = a_file(a_header())

    assert join_parts([parse_gguf_part(data, file_bytes=len(data))]) == parse_gguf(
        data, file_bytes=len(data)
    )


def test_a_part_says_which_it_is_counted_from_1() -> None:
    assert (SECOND.number, SECOND.count) == (2, 2)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([], "no file"),
        ([FIRST], "missing: 2"),
        ([SECOND], "there is part 2; missing: 1"),
        ([FIRST, FIRST], "part 1 is there twice"),
        ([FIRST, part(2, 3, *WHOLE[1:])], "of 2 and of 3 parts"),
        ([FIRST, part(2, 2, WHOLE[0], WHOLE[1])], "same name"),
        ([FIRST, part(2, 2, WHOLE[1])], "2 tensors; the first part says 3"),
        ([part(1, 2, **{"general.type": "mmproj"}), part(2, 2, *WHOLE)], "an addition"),
        ([part(2, 2), part(1, 2, *WHOLE, **{"llama.block_count": 0})], "block_count is 0"),
    ],
)
def test_parts_that_are_not_one_model_are_refused(parts: list[Part], says: str) -> None:
    with pytest.raises(BadModelFile, match=says) as caught:
        join_parts(parts)

    assert caught.value.fix


def test_a_part_named_as_if_it_were_whole_says_which_others_are_needed() -> None:
    data = part_bytes(2, 3, WHOLE[1:])

    with pytest.raises(BadModelFile, match="missing: 1, 3"):
        parse_gguf(data, file_bytes=len(data))


def test_a_part_is_as_incomplete_as_a_whole_file() -> None:
    data = part_bytes(2, 2, WHOLE[1:])

    with pytest.raises(HeaderIncomplete):
        parse_gguf_part(data[:60], file_bytes=len(data))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-oss-120b-mxfp4-00002-of-00003.gguf", ("gpt-oss-120b-mxfp4", 2, 3)),
        ("a-00001-of-00001.gguf", ("a", 1, 1)),
        ("a-00001-of-00002-00003-of-00004.gguf", ("a-00001-of-00002", 3, 4)),
        ("a-00000-of-00003.gguf", None),
        ("a-00004-of-00003.gguf", None),
        ("a-1-of-3.gguf", None),
        ("a.gguf", None),
        ("-00001-of-00003.gguf", None),
        ("a-00001-of-00003.safetensors", None),
        ("a-\u0660\u0660\u0660\u0660\u0661-of-00003.gguf", None),
    ],
)
def test_a_parts_name_tells_its_number_from_1(
    name: str, expected: tuple[str, int, int] | None
) -> None:
    assert split_name(name) == expected
