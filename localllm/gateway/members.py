"""Changes members of a JSON object, while the values of all others stay as they were written. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

Members = dict[str, msgspec.Raw]


def read_members(body: bytes) -> Members:
    """Take an object apart, but no deeper.

    Raises:
        msgspec.DecodeError: It is none.
        UnicodeDecodeError: A name is no text.
    """
    return msgspec.json.decode(body, type=Members)


def with_members(body: bytes, put: Mapping[str, object], drop: Collection[str] = ()) -> bytes:
    """Put members into an object, and leave others out.

    Raises:
        msgspec.DecodeError: It is none.
        UnicodeDecodeError: A name is no text.
    """
    kept = {name: value for name, value in read_members(body).items() if name not in drop}
    return msgspec.json.encode({**kept, **put})
