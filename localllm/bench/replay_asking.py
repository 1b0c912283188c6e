"""Asks the endpoint how many tokens a text is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from localllm.bench.arriving import shown_of
from localllm.bench.replay_prompts import COMPLETIONS
from localllm.bench.shooting import Target, shoot
from localllm.bench.shots import Arrival, Shot

_COUNT = "/v1/messages/count_tokens"
_ASIDE = " the"
"""Stands on both sides of a text that is measured: templates take blanks off the ends."""

_WITHIN_S = 120.0
_HEAD_END = b"\r\n\r\n"


class _Counted(msgspec.Struct):
    input_tokens: int


@dataclass(slots=True)
class Asking:
    """Asks with requests like those of every client. Mutable: what is always the same is asked once."""

    target: Target
    model: str
    _around: int | None = field(default=None, init=False)

    async def count(self, text: str) -> int | None:
        """Have a text read as a prompt: the engine tells how many tokens it is."""
        asked = {"model": self.model, "prompt": text, "max_tokens": 1, "temperature": 0}
        arrival = await self._sent(COMPLETIONS, asked)
        return shown_of(arrival).prompt_tokens

    async def measure(self, text: str) -> int | None:
        """Count the tokens of a text between others, with nothing read for it."""
        if self._around is None:
            self._around = await self._counted(2 * _ASIDE)
        whole = await self._counted(_ASIDE + text + _ASIDE)
        return None if self._around is None or whole is None else whole - self._around

    async def _counted(self, text: str) -> int | None:
        asked = {"model": self.model, "messages": [{"role": "user", "content": text}]}
        arrival = await self._sent(_COUNT, asked)
        body = b"".join(piece for _, piece in arrival.pieces).partition(_HEAD_END)[2]
        try:
            return msgspec.json.decode(body, type=_Counted).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    async def _sent(self, path: str, asked: Mapping[str, object]) -> Arrival:
        shot = Shot(path, msgspec.json.encode(asked))
        return await shoot(self.target, shot, began=time.perf_counter(), within_s=_WITHIN_S)
