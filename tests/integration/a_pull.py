"""Somebody who pulls from the fake hub, in this process or in a worker's."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from localllm.store.job import FileState, PullJob, PullProgress
from localllm.store.pull_talk import Begin, Said
from localllm.store.pulling import pull
from localllm.store.repository import RepositoryFile
from localllm.store.shared_cache import CachedRepository
from localllm.transfer.pace import Pace
from tests.fakes.hub import FakeRepository

ROOT = Path(__file__).parents[2]
COMMIT = "c0ffee" + "0" * 34
MIB = 1 << 20


def some_bytes(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def a_job(repository: FakeRepository, *paths: str, ref: str | None = "main") -> PullJob:
    files = tuple(
        RepositoryFile(
            file.path,
            file.size,
            file.sha256 if file.is_large else None,
            None if file.is_large else file.git_sha1,
        )
        for file in (repository.file(path) for path in paths or repository.paths())
    )
    return PullJob(repository.name, repository.commit, files, ref)


@dataclass
class Puller:
    """One user, with a cache of their own."""

    home: Path
    endpoint: str
    connections: int = 6
    pace: Pace = field(default_factory=Pace)
    seen: list[PullProgress] = field(default_factory=list)
    on_progress: Callable[[PullProgress], None] = lambda _: None

    @property
    def environment(self) -> dict[str, str]:
        known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {
            **known,
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
        }

    @property
    def cache(self) -> Path:
        return self.home / "hub"

    def blobs(self, job: PullJob) -> Path:
        return CachedRepository(self.cache, job.repo).blobs

    async def pull(self, job: PullJob) -> Path:
        return await pull(
            job, self.environment, self._tell, pace=self.pace, connections=self.connections
        )

    def _tell(self, progress: PullProgress) -> None:
        self.seen.append(progress)
        self.on_progress(progress)

    def states(self, path: str) -> list[FileState]:
        """Of one file, each that followed another."""
        found: list[FileState] = []
        for progress in self.seen:
            state = next(file.state for file in progress.files if file.path == path)
            if found[-1:] != [state]:
                found.append(state)
        return found

    def worker(self, job: PullJob, bytes_per_s: float | None = None) -> Worker:
        begin = Begin(job=job, connections=self.connections, bytes_per_s=bytes_per_s)
        return Worker.of(begin, self.environment)


@dataclass
class Worker:
    """A process of pull_worker."""

    process: subprocess.Popen[bytes]

    @classmethod
    def of(cls, begin: Begin, environment: Mapping[str, str]) -> Worker:
        worker = cls(
            subprocess.Popen(
                [sys.executable, "-P", "-m", "localllm.store.pull_worker"],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        worker.say(begin)
        return worker

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def say(self, words: msgspec.Struct) -> None:
        self.stdin.write(msgspec.json.encode(words) + b"\n")
        self.stdin.flush()

    def hears(self) -> Said | None:
        """Wait for its next line; None: it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return msgspec.json.decode(line, type=Said) if line.endswith(b"\n") else None

    def last(self) -> Said | None:
        """Hear it to its end."""
        said = None
        while (more := self.hears()) is not None:
            said = more
        self.process.wait()
        self.close()
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
