"""How an engine, or the gateway, is spoken to: whoever examines is given a voice, and knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, TypeVar

import msgspec

Body = Mapping[str, object]
_Kind = TypeVar("_Kind")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; an answer that breaks off is a `Silent`."""

    status: int
    text: bytes

    @property
    def is_ok(self) -> bool:
        return self.status == HTTPStatus.OK

    def read(self, kind: type[_Kind]) -> _Kind | None:
        """Read it as JSON of a shape; None where it is another, or a refusal."""
        if not self.is_ok:
            return None
        try:
            return msgspec.json.decode(self.text, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def read_refusal(self) -> str | None:
        """Read what a refusal says; None where it is none."""
        if self.is_ok:
            return None
        try:
            told = msgspec.json.decode(self.text, type=_Refusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self.text[:_SHOWN].decode(errors="replace")
        return told.error if isinstance(told.error, str) else told.error.message


class _Error(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Error | str


class Silent(Exception):
    """Nobody answered, or the answer broke off; the text says how."""


class Voice(Protocol):
    """Asks one thing after the other."""

    async def ask(self, path: str, body: Body) -> Answer:
        """Post a JSON document.

        Raises:
            Silent: There was no answer.
        """
        ...
