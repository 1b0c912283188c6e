"""JSON from strangers: bounded before it is read, and one error for whatever is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from localllm.formats.errors import BadModelFile

T = TypeVar("T")
_SLICE_BYTES = 1 << 16
_NO_NUMBER = re.compile(rb"(?<=[\s:,\[])-?(?:Infinity|NaN)(?=[\s,\]}])")


def bad_json(what: str, why: str) -> BadModelFile:
    """The one error for whatever such a file never holds; `what` names it."""
    return BadModelFile(
        f"This is not {what} that can be used.",
        why=why,
        fix="download it again; if the error stays, the file itself is damaged or not a model's",
    )


def decode_json(data: bytes, kind: type[T], what: str, *, most_bytes: int, most_values: int) -> T:
    """Decode a document.

    Args:
        most_bytes: Its length; text takes up to four times as much in memory.
        most_values: Of all its lists and objects together, give or take commas in texts.

    Raises:
        BadModelFile: It is longer, deeper or fuller than that, or not of this kind.
    """
    if len(data) > most_bytes:
        raise bad_json(what, f"it has {len(data)} bytes, where {most_bytes} are allowed")
    commas = 0
    for at in range(0, len(data), _SLICE_BYTES):
        commas += data.count(b",", at, at + _SLICE_BYTES)
        if commas > most_values:
            raise bad_json(what, f"it has more than {most_values} values")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise bad_json(what, f"{error!s:.200}") from error
    except RecursionError:
        raise bad_json(what, "it is nested too deeply") from None


def without_infinities(data: bytes) -> bytes:
    """Write null for NaN and Infinity: Python writes them, JSON has no such numbers."""
    return _NO_NUMBER.sub(b"null", data) if b"NaN" in data or b"Infinity" in data else data


def decode_object(data: bytes, what: str, *, most_bytes: int) -> Mapping[str, object]:
    """Decode an object of which nothing else is known; errors are those of `decode_json`."""
    text = without_infinities(data) if len(data) <= most_bytes else data
    return decode_json(text, dict[str, object], what, most_bytes=most_bytes, most_values=most_bytes)
