"""How fast a pull is, over the last seconds, from what its process tells. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from localllm.store.job import FileProgress, FileState, PullProgress

_WINDOW_S = 5.0
_APART_S = 0.2
"""Of two samples at least, so that one that reports often needs no more of them."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What has come while one process ran, the latest last."""

    samples: tuple[tuple[float, int], ...] = ()
    """When, and how many bytes had come by then."""

    @property
    def came_bytes(self) -> int:
        return self.samples[-1][1] if self.samples else 0

    def seen(self, more_bytes: int, now: float) -> Speed:
        """Note that so many bytes more have come."""
        kept = self.samples
        if len(kept) > 1 and kept[-1][0] - kept[-2][0] < _APART_S:
            kept = kept[:-1]
        while len(kept) > 1 and kept[1][0] <= now - _WINDOW_S:
            kept = kept[1:]
        return Speed((*kept, (now, self.came_bytes + more_bytes)))

    def bytes_per_s(self, now: float) -> float | None:
        """Say how fast it is; None while nothing comes."""
        if not self.samples:
            return None
        earlier = [sample for sample in self.samples if sample[0] <= now - _WINDOW_S]
        since, before = earlier[-1] if earlier else self.samples[0]
        if self.came_bytes <= before or now <= since:
            return None
        return (self.came_bytes - before) / (now - since)


STILL = Speed()


def left_s(here_bytes: int, size_bytes: int, bytes_per_s: float | None) -> float | None:
    """Say how long the rest takes at this speed; None if nobody knows."""
    if not bytes_per_s:
        return None
    return max(0, size_bytes - here_bytes) / bytes_per_s


def waiting(progress: PullProgress | None) -> PullProgress | None:
    """What a new process finds: as much as before, but nothing of it has been looked at yet."""
    if progress is None:
        return None
    return PullProgress(tuple(replace(f, state=FileState.WAITING) for f in progress.files))


def with_known(told: PullProgress, before: PullProgress | None) -> PullProgress:
    """Keep what was here of those files that a process has not looked at yet."""
    known = _by_path(before)
    return replace(
        told, files=tuple(_with_known(file, known.get(file.path)) for file in told.files)
    )


def came_bytes(told: PullProgress, before: PullProgress | None) -> int:
    """Say how much has come since: what is found when a file is first looked at has not."""
    known = _by_path(before)
    return sum(_came(file, known.get(file.path)) for file in told.files)


def _by_path(progress: PullProgress | None) -> dict[str, FileProgress]:
    return {} if progress is None else {file.path: file for file in progress.files}


def _with_known(file: FileProgress, before: FileProgress | None) -> FileProgress:
    if before is None or file.state is not FileState.WAITING:
        return file
    return replace(file, here_bytes=max(file.here_bytes, before.here_bytes))


def _came(file: FileProgress, before: FileProgress | None) -> int:
    if before is None or before.state is FileState.WAITING:
        return 0
    return max(0, file.here_bytes - before.here_bytes)
