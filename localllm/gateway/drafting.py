"""Has requests answered without a draft where it hurts: an answer that is bound to a grammar.

A draft's guesses know nothing of the grammar, so that many are made in vain. The body is not
written anew: one field is put before its end. Pure.
"""

from __future__ import annotations

import msgspec

_FIELD = b',"speculative.n_max":0'
"""llama.cpp's name. Its server obeyed it until April 2026 (pull request 22397), keeps the code for
it switched off, and passes over it; engines/extras.py has what a user is told of that."""

_BINDING_FORMATS = frozenset({"json_object", "json_schema"})


class _Format(msgspec.Struct):
    type: str | None = None


class _Bound(msgspec.Struct):
    """What of a request binds its answer, and whether it has the field already."""

    response_format: _Format | None = None
    grammar: str | None = None
    json_schema: msgspec.Raw = msgspec.Raw(b"null")
    own: int | None = msgspec.field(name="speculative.n_max", default=None)

    @property
    def strict(self) -> bool:
        by_format = self.response_format is not None and (
            self.response_format.type in _BINDING_FORMATS
        )
        return by_format or bool(self.grammar) or bytes(self.json_schema) != b"null"


def without_draft(body: bytes) -> bytes:
    """Add the field to a request whose answer is bound; return every other body as it is.

    Args:
        body: A JSON object, as the client sent it.
    """
    try:
        bound = msgspec.json.decode(body, type=_Bound)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body  # which the engine will refuse, in its own words
    if not bound.strict or bound.own is not None:
        return body
    end = body.rindex(b"}")
    return body[:end] + _FIELD + body[end:]
