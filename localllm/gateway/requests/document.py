"""Reads a body as JSON that no two readers understand differently, and as the fields it may have.

What RFC 8259 leaves to the reader is refused: a member that is there twice, of which one reader
takes the first and another the last, halves of surrogate pairs, NaN, numbers beyond a double. The
gateway's bounds are of no use if the engine reads another value than the one that was checked.

Source: https://www.rfc-editor.org/rfc/rfc8259#section-4 and section 8.2.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from localllm.errors import BadRequest
from localllm.gateway.members import with_members

MOST_NESTING = 128
"""Arrays and objects in each other. Engines read, and template languages print, by recursion."""

MOST_MARKS = 1 << 20
"""Brackets, braces and commas. 64 MiB of empty lists would be a gigabyte, and seconds of work."""

_FLAT = frozenset({"input", "prompt"})
"""May have millions of numbers, and are no deeper than their types allow."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_WHERE = re.compile(
    r"^(?P<why>.*?)(?: - at `(?:(?:key|value)` in `)?\$(?P<path>[^`]*)`)?$", re.DOTALL
)
_MISSING = re.compile(r"^Object missing required field `([^`]*)`$")
_SHOWN = 60

_Kind = TypeVar("_Kind")


class _Twice(Exception):
    """A member of an object is there twice."""


def wrong(param: str, why: str, fix: str) -> BadRequest:
    """Refuse one field.

    Args:
        param: Its path as the client spelled it: `messages[3].content[0].image_url.url`.
        why: What is allowed, and what came instead.
    """
    return BadRequest(f"The request's {param} is wrong.", why=why, fix=fix, param=param)


def parse_document(body: bytes) -> dict[str, Any]:
    """Parse a body.

    Raises:
        BadRequest: It is no JSON object, or one that can be read in two ways.
    """
    _check_marks(body)
    try:
        text = body.decode()
        document = json.loads(
            text, object_pairs_hook=_members, parse_constant=_no_number, parse_float=_finite
        )
    except _Twice as error:
        name = str(error)
        raise wrong(name, "it is there twice in one object", "send it once") from None
    except RecursionError:
        raise _not_json(f"it nests deeper than {MOST_NESTING} levels") from None
    except UnicodeDecodeError as error:
        raise _not_json(f"byte {error.start} is not UTF-8") from None
    except ValueError as error:
        raise _not_json(str(error).partition(";")[0]) from None
    if not isinstance(document, dict):
        raise _not_json("it is no object: {...}")
    _check_readable(text, document)
    return document


def checked(document: Mapping[str, Any], kind: type[_Kind]) -> _Kind:
    """Read the known fields of a request; others are nobody's business.

    Raises:
        BadRequest: A field is of the wrong type, or beyond its bound; it is named.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from None


def check_one_of(param: str, value: str | None, allowed: Collection[str]) -> None:
    """Refuse a word that is not among those allowed; None says nothing."""
    if value is not None and value not in allowed:
        names = ", ".join(allowed)
        raise wrong(param, f"{value[:_SHOWN]!r} is none of: {names}", "send one of these")


def deeper_than(value: object, levels: int) -> bool:
    """Tell whether arrays and objects are more than `levels` deep in each other. Never recurses."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        layer = [
            child
            for parent in layer
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not layer:
            return False
    return bool(layer)


def wheres(where: str, items: Sequence[_Kind]) -> Iterator[tuple[str, _Kind]]:
    """Pair the items of an array with their paths."""
    return ((f"{where}[{number}]", item) for number, item in enumerate(items))


def json_bytes(value: object) -> int:
    """Size of a value as JSON without blanks."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def without(body: bytes, names: Collection[str]) -> bytes:
    """Take members out of an object that was parsed before; all else stays as it was written."""
    if not names:
        return body
    return with_members(body, {}, names)


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        counted = Counter(name for name, _ in pairs)
        raise _Twice(next(name for name, times in counted.items() if times > 1)[:_SHOWN])
    return members


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:_SHOWN]} is larger than a number can be")
    return number


def _check_marks(body: bytes) -> None:
    if len(body) > MOST_MARKS and sum(map(body.count, (b",", b"[", b"{"))) > MOST_MARKS:
        raise _not_json(f"it has more than {MOST_MARKS} brackets, braces and commas")


def _check_readable(text: str, document: Mapping[str, Any]) -> None:
    deep = {name: value for name, value in document.items() if name not in _FLAT}
    if deeper_than(deep, MOST_NESTING):
        raise _not_json(f"it nests deeper than {MOST_NESTING} levels")
    if _SURROGATE.search(text):
        try:
            json_bytes(document)
        except UnicodeEncodeError:
            raise _not_json("a \\u escape has half of a character alone") from None


def _not_json(why: str) -> BadRequest:
    return BadRequest(
        "The body is not a JSON object that can be read in one way.", why=why, fix="correct it"
    )


def _wrong_field(said: str) -> BadRequest:
    found = _WHERE.match(said)
    assert found, "every text matches"
    why, path = found["why"], (found["path"] or "").replace("[...]", "").removeprefix(".")
    if missing := _MISSING.match(why):
        param = f"{path}.{missing[1]}" if path else missing[1]
        return wrong(param, "it is required", "send it")
    return wrong(path, why[:1].lower() + why[1:], "correct it, or leave it out")
