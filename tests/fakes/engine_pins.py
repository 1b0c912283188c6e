"""Pins for builds that the tests' own outside serves, in a file beside config.toml."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.installation import Installation
from tests.fakes.release_server import Outside, a_tar, a_wheel, sha256

FAKES = Path(__file__).parent
LIBRARY = "nvidia/cuda_runtime/lib/libcudart.so.12"
URL = "https://github.com/ggml-org/llama.cpp/releases/download/b1/{}.tar.gz"


@dataclass(frozen=True, slots=True)
class Pinned:
    """One build, as it is served."""

    id: str
    url: str
    archive: bytes
    path: str
    """Of the archive, in the outside."""


def a_program(script: str) -> bytes:
    return f'#!/bin/sh\nexec {sys.executable} {FAKES / script} "$@"\n'.encode()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a build is to be."""

    drives: str = "cuda"
    program: bytes | None = None
    padding: int = 0
    """Bytes that do not compress, to give a download its length."""

    more: str = ""
    """Further lines of its pin."""

    packages: bool = True
    """Whether NVIDIA's runtime comes with it."""

    hash_of: bytes | None = None
    """What the pin's hash is of, if not of the archive."""


def serve_build(
    outside: Outside, here: Installation, id_: str = "test-cuda", **recipe: Any
) -> Pinned:
    """Serve a build and pin it; `recipe` is a Recipe's fields."""
    wanted = Recipe(**recipe)
    url = URL.format(id_)
    members = {
        "llama-b1/llama-server": wanted.program or a_program("cuda_server.py"),
        "llama-b1/padding": random.Random(id_).randbytes(wanted.padding),
    }
    archive = a_tar(members, links={"llama-b1/libllama.so": "llama-server"})
    path = outside.add(url, archive)
    pin = f"""
[[builds]]
id = "{id_}"
title = "a test build {id_}"
engine = "llama-server"
version = "b1"
drives = "{wanted.drives}"
os = "linux"
arch = "x86_64"
licence = "MIT"
source = "tests"
program = "llama-b1/llama-server"
{wanted.more}
[[builds.archives]]
url = "{url}"
sha256 = "{sha256(wanted.hash_of or archive)}"
size = {len(archive)}
"""
    if wanted.packages:
        wheel = a_wheel("nvidia-cuda-runtime-cu12", "12.8.90", {LIBRARY: b"not really"})
        outside.add_wheel(
            "nvidia-cuda-runtime-cu12", wheel, "nvidia_cuda_runtime_cu12-12.8.90-py3-none-any.whl"
        )
        pin = pin.replace(
            "[[builds.archives]]", 'libraries = ["nvidia/cuda_runtime/lib"]\n[[builds.archives]]'
        )
        pin += f"""
[[builds.packages]]
name = "nvidia-cuda-runtime-cu12"
version = "12.8.90"
sha256 = "{sha256(wheel)}"
size = {len(wheel)}
"""
    write_pins(here, pin)
    return Pinned(id_, url, archive, path)


def write_pins(here: Installation, pins: str) -> None:
    """Add pins to those of the user, which go before the shipped ones in the order written."""
    file = here.home / "config" / "engines" / "test.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text() if file.exists() else "format = 1\n"
    file.write_text(before + pins)
