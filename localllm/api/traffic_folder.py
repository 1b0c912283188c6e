"""The recordings on this disk, with or without a daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localllm.api.recording_views import TrafficView
from localllm.api.traffic_file import SUFFIX, read_traffic
from localllm.errors import LocalLLMError

_MS_A_MINUTE = 60_000.0


@dataclass(frozen=True, slots=True)
class Found:
    """A file, not read yet."""

    file: Path
    size: int

    @property
    def name(self) -> str:
        return self.file.name.removesuffix(SUFFIX)


def find_traffic(folder: Path) -> Sequence[Found]:
    """Find the recordings, the newest first; their names begin with their time."""
    try:
        files = [one for one in folder.iterdir() if one.name.endswith(SUFFIX) and one.is_file()]
    except FileNotFoundError:
        return []
    found = [Found(one, one.stat().st_size) for one in files]
    return sorted(found, key=lambda one: one.name, reverse=True)


def view_of(found: Found) -> TrafficView:
    """Read one, and say what is in it, or why it cannot be read."""
    try:
        traffic = read_traffic(found.file)
    except (LocalLLMError, OSError) as error:
        return TrafficView(
            name=found.name,
            file=str(found.file),
            size=found.size,
            started=None,
            model=None,
            requests=None,
            minutes=None,
            prompts=False,
            error=error.why if isinstance(error, LocalLLMError) else str(error),
        )
    times = [shape.timestamp for shape in traffic.shapes]
    return TrafficView(
        name=found.name,
        file=str(found.file),
        size=found.size,
        started=traffic.header.started,
        model=traffic.header.model,
        requests=len(traffic.shapes),
        minutes=(times[-1] - times[0]) / _MS_A_MINUTE if times else 0.0,
        prompts=traffic.header.prompts,
        error=None,
    )
