"""Recorded traffic is read as it was written; what is wrong with a file is said with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localllm.api.traffic_file import (
    FORMAT,
    BadTraffic,
    Header,
    Shape,
    Traffic,
    lines_of,
    read_header,
    read_traffic,
)
from localllm.api.traffic_folder import find_traffic, view_of
from localllm.versioned import NewerFile

HEADER = Header(format=FORMAT, version="1.0", started=1.8e9, block_tokens=32, model="m", context=9)
FIRST = Shape(id=1, timestamp=5, input_length=40, output_length=2, hash_ids=[0, 1])
SECOND = Shape(id=2, timestamp=3, input_length=33, output_length=1, hash_ids=[0, 2], goes_on_from=1)


def written(file: Path, *shapes: Shape, end: bytes = b"") -> Path:
    file.write_bytes(b"".join(lines_of(HEADER, shapes)) + end)
    return file


def with_lines(file: Path, *lines: Any) -> Path:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def test_what_was_written_is_read_in_the_order_of_its_arrival(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", FIRST, SECOND)

    assert read_traffic(file) == Traffic(HEADER, (SECOND, FIRST))
    assert read_header(file) == HEADER


def test_a_torn_last_line_is_dropped_and_told(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", FIRST, end=b'{"id":2,"timest')

    traffic = read_traffic(file)

    assert (traffic.shapes, traffic.is_torn) == ((FIRST,), True)


def test_a_last_line_that_only_lacks_its_end_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(lines_of(HEADER, [FIRST])).rstrip())

    assert read_traffic(file) == Traffic(HEADER, (FIRST,))


def test_a_header_alone_is_traffic_without_requests(tmp_path: Path) -> None:
    assert read_traffic(written(tmp_path / "a.jsonl")).shapes == ()


def test_a_trace_of_mooncake_is_read_as_it_is(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [*range(14)]},
        {"timestamp": 27482, "input_length": 655, "output_length": 52, "hash_ids": [0, 46]},
    ]

    traffic = read_traffic(with_lines(tmp_path / "trace.jsonl", *rows))

    assert traffic.header.block_tokens == 512
    assert [(one.id, one.input_length, one.api) for one in traffic.shapes] == [
        (1, 6758, "chat"),
        (2, 655, "chat"),
    ]


def test_a_file_of_a_newer_version_is_refused_politely(tmp_path: Path) -> None:
    file = with_lines(tmp_path / "a.jsonl", {"format": FORMAT + 1, "all": "is new"}, {"new": 1})

    with pytest.raises(NewerFile, match=f"version {FORMAT + 1}"):
        read_traffic(file)


GOOD = json.loads(b"".join(lines_of(HEADER, [])))
A_LINE = {"id": 1, "timestamp": 0, "input_length": 40, "output_length": 2}


@pytest.mark.parametrize(
    ("lines", "number", "said"),
    [
        ([GOOD, A_LINE, {**A_LINE, "id": 2, "timestamp": "noon"}], 3, "timestamp"),
        ([GOOD, {**A_LINE, "hash_ids": [1]}], 2, "2 blocks of 32, and hash_ids has 1"),
        ([GOOD, {**A_LINE, "output_length": -1}], 2, "output_length"),
        ([GOOD, {"id": 1}], 2, "timestamp"),
        ([GOOD, {**A_LINE, "goes_on_from": 1}], 2, "smaller id"),
        ([GOOD, A_LINE, 7, A_LINE], 3, "Expected `object`"),
        ([{"some": "file"}], 1, "input_length"),
        ([{**GOOD, "block_tokens": 0}], 1, "block_tokens"),
        ([{**GOOD, "block_tokens": 1 << 20}], 1, "block_tokens"),
        ([{**GOOD, "context": -1}], 1, "context"),
        ([{**GOOD, "format": 0}], 1, "format"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: list[Any], number: int, said: str) -> None:
    with pytest.raises(BadTraffic) as refused:
        read_traffic(with_lines(tmp_path / "a.jsonl", *lines))

    assert f"line {number}: " in refused.value.why
    assert said in refused.value.why


@pytest.mark.parametrize("content", [b"", b"\n\n", b"GIF89a\xff\xfe", b"[" * 100_000])
def test_what_is_no_traffic_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(content)

    with pytest.raises(BadTraffic, match="line 1"):
        read_traffic(file)


def test_two_requests_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTraffic, match="same id"):
        read_traffic(with_lines(tmp_path / "a.jsonl", GOOD, A_LINE, A_LINE))


def test_a_folder_is_listed_newest_first_with_what_cannot_be_read(tmp_path: Path) -> None:
    written(tmp_path / "20260101T000000Z-aaaa.jsonl", FIRST, SECOND)
    (tmp_path / "20260102T000000Z-bbbb.jsonl").write_text("?")
    (tmp_path / "notes.txt").write_text("mine")

    broken, good = map(view_of, find_traffic(tmp_path))

    assert (broken.name, broken.requests) == ("20260102T000000Z-bbbb", None)
    assert broken.error is not None
    assert (good.name, good.requests, good.error) == ("20260101T000000Z-aaaa", 2, None)
    assert find_traffic(tmp_path / "nowhere") == []
