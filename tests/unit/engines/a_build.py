"""A pinned build, made up."""

from __future__ import annotations

from typing import Any

from localllm.catalog.builds import Archive, Build, Drives

URL = "https://github.com/ggml-org/llama.cpp/releases/download/b1/{}.tar.gz"


def an_archive(name: str = "engine", **more: Any) -> Archive:
    return Archive(**{"url": URL.format(name), "sha256": "a" * 64, "size": 1000, **more})


def a_build(id_: str = "one", **more: Any) -> Build:
    plain: dict[str, Any] = {
        "title": f"the build {id_}",
        "engine": "llama-server",
        "version": "b1",
        "drives": Drives.CPU,
        "os": "linux",
        "arch": "x86_64",
        "licence": "MIT",
        "source": "tests",
        "archives": (an_archive(id_),),
        "program": "bin/llama-server",
    }
    return Build(id_, **{**plain, **more})
