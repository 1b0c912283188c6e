"""Makes engines of fetched builds: the program in its folder, and the libraries beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from localllm.catalog.builds import Build
from localllm.engines.base import Engine
from localllm.engines.builds.shelf import Shelf
from localllm.engines.llama_server import LlamaServer
from localllm.engines.xllamacpp import Xllamacpp


def engine_in(folder: Path, build: Build, environment: Mapping[str, str]) -> Engine:
    """The engine of a build that is unpacked in `folder`."""
    libraries = [str(folder / each) for each in build.libraries]
    if build.engine == Xllamacpp.name:
        return Xllamacpp(environment, folder, origin=build.title, libraries=libraries)
    assert build.program is not None, "read_builds checks it"
    program = str(folder / build.program)
    return LlamaServer(program, environment, origin=build.title, libraries=libraries)


def xllamacpp(shelf: Shelf, environment: Mapping[str, str]) -> Engine:
    """The fetched build that is in use, else the package beside localllm."""
    shelved = shelf.current(Xllamacpp.name)
    if shelved is None:
        return Xllamacpp(environment)
    return engine_in(shelved.folder, shelved.build, environment)


def llama_server(shelf: Shelf, own: str | None, environment: Mapping[str, str]) -> Engine:
    """The program that the settings name, else the fetched build in use, else one on PATH."""
    shelved = shelf.current(LlamaServer.name)
    if own is not None or shelved is None:
        return LlamaServer(own, environment)
    return engine_in(shelved.folder, shelved.build, environment)
