"""A model in several GGUF files: reads each part, and joins them into one header.

Source: llama.cpp, tools/gguf-split/gguf-split.cpp and src/llama-model-loader.cpp. The first part
has all keys, the others only those that say which part they are; each lists its own tensors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from localllm.formats.errors import BadModelFile
from localllm.formats.gguf import header_of, missing_parts, part_of
from localllm.formats.gguf_cursor import bad
from localllm.formats.gguf_table import Contents, read_contents
from localllm.formats.header import Header

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a model's; the only one, for a model that is not split."""

    number: int
    """From 1 on, as the file's name counts; the file itself counts from 0."""

    count: int
    """How many parts there are."""

    contents: Contents

    @property
    def file_bytes(self) -> int:
        return self.contents.file_bytes


def split_name(name: str) -> tuple[str, int, int] | None:
    """Take `stem-00002-of-00003.gguf` apart: the stem, the part's number from 1 on, their count.

    None for a name that is not a part's.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    number, count = int(found["number"]), int(found["count"])
    return (found["stem"], number, count) if 1 <= number <= count else None


def parse_gguf_part(data: bytes | bytearray | memoryview, *, file_bytes: int) -> Part:
    """Read the header of one part; arguments and errors are those of `parse_gguf`."""
    contents = read_contents(data, file_bytes)
    number, count = part_of(contents.metadata)
    return Part(number, count, contents)


def join_parts(parts: Sequence[Part]) -> Header:
    """Make one header of a model's parts, given in any order.

    Raises:
        BadModelFile: One is missing, there twice, or of another model; or it is no model.
    """
    ordered = sorted(parts, key=lambda part: part.number)
    _check_parts(ordered)
    tensors = tuple(t for part in ordered for t in part.contents.tensors)
    first = ordered[0].contents
    if len({t.name for t in tensors}) != len(tensors):
        raise _mismatch("two of them hold a tensor of the same name")
    stated = first.metadata.values.get("split.tensors.count", len(tensors))
    if stated != len(tensors):
        raise _mismatch(f"they hold {len(tensors)} tensors; the first part says {stated!r:.40}")
    whole = replace(first, tensors=tensors, file_bytes=sum(p.file_bytes for p in ordered))
    return header_of(whole, files=len(ordered))


def _check_parts(ordered: Sequence[Part]) -> None:
    if not ordered:
        raise bad("there is no file")
    counts, numbers = {part.count for part in ordered}, [part.number for part in ordered]
    if len(counts) > 1:
        raise _mismatch(f"they are of {' and of '.join(map(str, sorted(counts)[:4]))} parts")
    twice = [a for a, b in pairwise(numbers) if a == b]
    if twice:
        raise _mismatch(f"part {twice[0]} is there twice")
    (count,) = counts
    if len(numbers) != count:
        raise missing_parts(set(numbers), count)


def _mismatch(why: str) -> BadModelFile:
    return BadModelFile(
        "These files are not the parts of one model.",
        why=why,
        fix="download all parts again, from the same repository and commit",
    )
