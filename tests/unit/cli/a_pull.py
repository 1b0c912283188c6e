"""Pulls and stores as the daemon tells of them."""

from __future__ import annotations

from typing import Any

from localllm.api.pull_views import PulledFileView, PullView
from localllm.api.store_views import LeftoverView, OnDiskView, StoreView

GIB = 1 << 30


def a_file(path: str = "m-Q4_K_M.gguf", size: int = 4 * GIB, here: int = GIB, **more: Any) -> Any:
    return PulledFileView(path=path, size=size, here=here, **{"state": "fetching", **more})


def a_pull(*files: PulledFileView, **more: Any) -> PullView:
    files = files or (a_file(),)
    plain: dict[str, Any] = {
        "id": "p1",
        "model": "m:Q4_K_M",
        "repo": "me/m-GGUF",
        "commit": "c" * 40,
        "quant": "Q4_K_M",
        "state": "fetching",
        "size": sum(file.size for file in files),
        "here": sum(file.here for file in files),
        "speed": 50.0 * (1 << 20),
        "left": 61.0,
        "note": None,
        "error": None,
        "reason": "it fits with 32768 tokens of context",
    }
    return PullView(files=list(files), **{**plain, **more})


def a_model(name: str = "m:Q4_K_M", **more: Any) -> OnDiskView:
    plain: dict[str, Any] = {
        "quant": "Q4_K_M",
        "format": "gguf",
        "size": 4 * GIB,
        "where": "huggingface",
        "path": "/cache/m.gguf",
        "repo": "me/m-GGUF",
        "commit": "c" * 40,
        "last_used": 0.0,
        "verdict": "fits",
        "reason": None,
        "served": False,
        "missing": [],
    }
    return OnDiskView(name=name, **{**plain, **more})


def a_leftover(kind: Any = "half", size: int = GIB, *, in_use: bool = False) -> LeftoverView:
    return LeftoverView(
        kind=kind, path=f"/cache/{kind}", size=size, changed=0.0, why="left over", in_use=in_use
    )


def a_store(*models: OnDiskView, leftovers: list[LeftoverView] | None = None) -> StoreView:
    return StoreView(cache="/cache", free=100 * GIB, models=list(models), leftovers=leftovers or [])
