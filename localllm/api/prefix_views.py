"""The prompts that are kept on disk. Bytes, Unix seconds."""

from __future__ import annotations

from typing import Literal

from localllm.api.views import View


class PrefixView(View, frozen=True, kw_only=True):
    id: str
    model: str
    tokens: int
    """As the engine has counted them; the answer is among them."""

    size: int
    saved: float
    last_used: float
    """When it was put back into an engine last, or else saved."""

    uses: int
    """How often it was put back."""

    kind: Literal["slot", "text"]
    """slot: what an engine has read, which is put back; text: a request, which is read again."""


class PrefixesView(View, frozen=True, kw_only=True):
    enabled: bool
    """Whether more are saved, and these are used."""

    folder: str
    budget: int
    """How much all may take."""

    size: int
    prefixes: list[PrefixView]
    """The one used last comes first."""


class PrefixesRemovedView(View, frozen=True, kw_only=True):
    removed: list[str]
    """Ids."""

    freed: int
