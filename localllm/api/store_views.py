"""The store: what is on this disk, what is left over, and what came of tidying. Bytes, Unix seconds."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from localllm.api.views import View

Where = Literal["huggingface", "lmstudio", "ollama", "package"]
LeftoverKind = Literal[
    "half",  # a pull of ours that has not ended
    "incomplete",  # another tool's half file
    "broken_link",
    "unreferenced",  # contents that no revision has a name for
    "quarantined",  # contents that are not what their name says
]


class OnDiskView(View, frozen=True, kw_only=True):
    name: str
    """What serves it, as in qwen3-8b:Q4_K_M or hf:owner/repo:Q4_K_M."""

    quant: str | None
    format: Literal["gguf", "mlx", "safetensors"]
    size: int
    """Of all its files."""

    where: Where
    path: str
    """The first file; the folder, for safetensors."""

    repo: str | None
    commit: str | None
    last_used: float | None
    verdict: Literal["fits", "fits_partly", "too_big"] | None
    """On this machine as it is now; null where it was not asked for, or nobody can tell."""

    reason: str | None
    served: bool
    missing: list[str]
    """Files that it should have and that are not here; such a model cannot be served."""


class LeftoverView(View, frozen=True, kw_only=True):
    kind: LeftoverKind
    path: str
    size: int
    """That its removal frees."""

    changed: float
    why: str
    """What it is, in a sentence."""

    in_use: bool
    """A program is at it now: it is not to be removed."""


class StoreView(View, frozen=True, kw_only=True):
    cache: str
    """The folder that all programs share."""

    free: int
    """On its disk."""

    models: list[OnDiskView]
    leftovers: list[LeftoverView]


class StoreQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /api/v1/store`."""

    fit: bool = False
    """Whether to plan each of them, which takes a while."""


class RemovedView(View, frozen=True, kw_only=True):
    removed: list[str]
    """Models, or paths of leftovers."""

    freed: int
    kept: list[str]
    """Why something was not removed, a sentence each."""


class TidyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/store/gc`; nothing said: leftovers alone."""

    older_than: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Seconds; models that were not used for so long go."""

    max_size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Bytes; the models that were not used for longest go, until the others are no more than this."""

    dry_run: bool = False
    """Say what would go, and remove nothing."""


class CheckedView(View, frozen=True, kw_only=True):
    """One file that `verify` has looked at."""

    model: str
    path: str
    size: int
    outcome: Literal["good", "damaged", "unknown"]
    """unknown: nobody here knows its hash."""

    why: str | None


class VerifiedView(View, frozen=True, kw_only=True):
    files: list[CheckedView]
