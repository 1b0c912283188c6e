"""Recorded traffic as a file: the shapes of requests, line by line, to be replayed.

The first line is a header, each other line one request. `timestamp`, `input_length`, `output_length`
and `hash_ids` are what they are in Mooncake's traces, which are read as well: they have no header,
and blocks of 512 tokens. Nothing here opens a file but `read_traffic`.

Source: github.com/kvcache-ai/Mooncake, FAST25-release; docs/record.md has all fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from localllm.errors import LocalLLMError
from localllm.versioned import newer

FORMAT = 1
BLOCK_TOKENS = 32
"""What may be read again unnoticed; engines that keep whole blocks have 16 or 32."""

MOONCAKE_BLOCK_TOKENS = 512
SUFFIX = ".jsonl"
_WHAT = "recorded traffic"
_MOST = 1 << 40
_MOST_BLOCK_TOKENS = 512
"""No block is made of more others than it has tokens: replay_texts.py goes as deep."""

_MOST_HEAD_BYTES = 1 << 20

_Counted = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
_Since = Annotated[float, msgspec.Meta(ge=0, le=float(_MOST))]
T = TypeVar("T")


class BadTraffic(LocalLLMError):
    """A file is no recorded traffic, or is damaged."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of all requests."""

    format: Annotated[int, msgspec.Meta(ge=1)]
    version: str
    """Of the localllm that recorded it."""

    started: float
    """Unix seconds; what timestamps count from."""

    block_tokens: Annotated[int, msgspec.Meta(ge=1, le=_MOST_BLOCK_TOKENS)]
    model: str | None = None
    """That was served when the recording began; each request names its own."""

    context: _Counted | None = None
    """Of that model, tokens."""

    client: str | None = None
    """Whose requests these are, as a pattern; None: everybody's."""

    prompts: bool = False
    """Whether bodies are in it."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. No text is in it, but for `body` where somebody asked for it."""

    id: _Counted
    timestamp: _Since
    """Milliseconds from the start until it arrived."""

    input_length: _Counted | None = None
    """Tokens of its prompt; None: no engine has read it."""

    output_length: _Counted
    """Tokens generated, those of reasoning among them."""

    hash_ids: list[_Counted] | None = None
    """One for each block of its prompt, the last of which may not be full. The same number in two
    prompts: they are the same up to the end of that block. None: nobody could tell."""

    goes_on_from: _Counted | None = None
    """The request whose whole prompt this one begins with; its id is a smaller one."""

    api: str = "chat"
    model: str | None = None
    stream: bool = True
    tools: _Counted = 0
    cached_tokens: _Counted | None = None
    """Of the prompt, those that were not read again; None: the engine did not tell."""

    reasoning_tokens: _Counted | None = None
    conversation: _Counted | None = None
    """A number in place of its name; None: its client names none."""

    client: str | None = None
    """The program."""

    ended: Literal["done", "failed", "cancelled"] = "done"
    status: int | None = None
    error: str | None = None
    """Its code."""

    wait_ms: _Since | None = None
    """Until an engine had it. This and the next from its arrival on."""

    first_token_ms: _Since | None = None
    total_ms: _Since | None = None
    gap_ms: _Since | None = None
    """From one token to the next, on average."""

    longest_gap_ms: _Since | None = None
    body: dict[str, Any] | None = None
    """As the engine got it, with secrets taken out."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """All of a file."""

    header: Header
    shapes: Sequence[Shape]
    """In the order of their arrival."""

    is_torn: bool = False
    """Its last line was not whole, and is left out: whoever wrote it had to stop."""


class _Versioned(msgspec.Struct):
    format: int


class _Mooncake(msgspec.Struct):
    """A line of a trace that has no header."""

    input_length: _Counted
    output_length: _Counted
    timestamp: _Since = 0.0
    hash_ids: list[_Counted] | None = None


def read_traffic(file: Path) -> Traffic:
    """Read a file.

    Raises:
        BadTraffic: It is none, or a line is wrong, which is named.
        NewerFile: A later version has written it.
        OSError: It cannot be read.
    """
    text = file.read_bytes()
    lines = [line for line in enumerate(text.splitlines(), 1) if line[1].strip()]
    if not lines:
        raise _bad(file, 1, "it is empty")
    first = lines[0][1]
    header = parse_header(file, first)
    if header is None:
        shapes = [_mooncake(file, number, line) for number, line in lines]
        return Traffic(_header_of_mooncake(), _in_order(shapes))
    is_torn = not text.endswith(b"\n") and not _is_json(lines[-1][1])
    whole = lines[1:-1] if is_torn else lines[1:]
    shapes = [_shape(file, header, number, line) for number, line in whole]
    _require_own_ids(file, shapes)
    return Traffic(header, _in_order(shapes), is_torn)


def read_header(file: Path) -> Header:
    """Read the first line alone.

    Raises:
        BadTraffic: It is none of ours.
        NewerFile: A later version has written it.
        OSError: It cannot be read.
    """
    with file.open("rb") as opened:
        header = parse_header(file, opened.readline(_MOST_HEAD_BYTES))
    if header is None:
        raise _bad(file, 1, "it has no header")
    return header


def parse_header(file: Path, line: bytes) -> Header | None:
    """Read a header; None if the line is no header at all, but may be a request.

    Raises:
        BadTraffic: It is neither.
        NewerFile: A later version has written it.
    """
    try:
        version = msgspec.json.decode(line, type=_Versioned).format
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(file, 1, str(error)) from error
    if version > FORMAT:
        raise newer(file, _WHAT, version, FORMAT)
    try:
        return msgspec.json.decode(line, type=Header)
    except msgspec.ValidationError as error:
        raise _bad(file, 1, str(error)) from error


def _shape(file: Path, header: Header, number: int, line: bytes) -> Shape:
    shape = _parsed(file, number, line, Shape)
    if shape.goes_on_from is not None and shape.goes_on_from >= shape.id:
        raise _bad(file, number, "goes_on_from has to be a smaller id than its own")
    _require_blocks(file, number, shape.input_length, shape.hash_ids, header.block_tokens)
    return shape


def _mooncake(file: Path, number: int, line: bytes) -> Shape:
    row = _parsed(file, number, line, _Mooncake)
    _require_blocks(file, number, row.input_length, row.hash_ids, MOONCAKE_BLOCK_TOKENS)
    return Shape(
        id=number,
        timestamp=row.timestamp,
        input_length=row.input_length,
        output_length=row.output_length,
        hash_ids=row.hash_ids,
    )


def _header_of_mooncake() -> Header:
    return Header(
        format=FORMAT, version="", started=0.0, block_tokens=MOONCAKE_BLOCK_TOKENS, model=None
    )


def _parsed(file: Path, number: int, line: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(file, number, str(error)) from error


def _require_blocks(
    file: Path, number: int, length: int | None, ids: Sequence[int] | None, block_tokens: int
) -> None:
    if ids is None:
        return
    blocks = -(-(length or 0) // block_tokens)
    if len(ids) != blocks:
        why = f"{length} tokens are {blocks} blocks of {block_tokens}, and hash_ids has {len(ids)}"
        raise _bad(file, number, why)


def _require_own_ids(file: Path, shapes: Sequence[Shape]) -> None:
    known = {shape.id for shape in shapes}
    if len(known) < len(shapes):
        raise BadTraffic(
            f"{file} is no whole recorded traffic.",
            why="two requests in it have the same id",
            fix="record it again: localllm record on",
        )


def _in_order(shapes: Sequence[Shape]) -> Sequence[Shape]:
    return tuple(sorted(shapes, key=lambda one: (one.timestamp, one.id)))


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _bad(file: Path, number: int, why: str) -> BadTraffic:
    return BadTraffic(
        f"{file} is no recorded traffic that can be read.",
        why=f"line {number}: {why}",
        fix="localllm record ls shows what was recorded; docs/record.md says what a line may have",
    )


def lines_of(header: Header, shapes: Sequence[Shape]) -> Iterator[bytes]:
    """Write it, line by line."""
    yield msgspec.json.encode(header) + b"\n"
    for shape in shapes:
        yield msgspec.json.encode(shape) + b"\n"
