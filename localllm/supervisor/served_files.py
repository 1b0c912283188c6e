"""Which files the engines have open, so that nobody removes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from localllm.planning.planner import Planned
from localllm.store.listing import set_of


def read_served_files(served: Iterable[Planned]) -> frozenset[Path]:
    """List the files of all that is served, with all links resolved. Reads folders; blocks."""
    return frozenset(_real(file) for planned in served for file in _files_of(planned))


def _files_of(planned: Planned) -> Iterator[Path]:
    stored, companions = planned.stored, planned.companions
    yield from _weights(stored.file)
    if stored.projector is not None:
        yield stored.projector
    if companions.draft_file is not None:
        yield from _weights(companions.draft_file)
    yield from (adapter.file for adapter in companions.adapters)


def _weights(file: Path) -> Iterator[Path]:
    """List a set's parts, or all that is in a folder: an engine reads more of it than weights."""
    yield file
    if file.is_dir():
        yield from file.iterdir()
    else:
        yield from (file.parent / part.path for part in set_of(file).files)


def _real(file: Path) -> Path:
    try:
        return file.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return file.absolute()
