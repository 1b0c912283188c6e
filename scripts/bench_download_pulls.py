"""A model on a hub of our own, and the two ways to bring it here, each with an empty cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from localllm.store.hub import HuggingFaceHub
from localllm.store.job import PullJob
from localllm.store.pull_talk import Begin
from tests.fakes.hub_process import HubProcess, hub_process
from tests.smollm2 import smollm2

ROOT = Path(__file__).resolve().parents[1]
REPO, QUANT = "bench/Random-GGUF", "Q4_1"
FILE = f"random-{QUANT}.gguf"
FOREIGN = ("HF_", "HUGGING_FACE_", "LOCALLLM_", "TRANSFORMERS_", "XDG_CACHE_HOME")
"""Settings of the user's own, which are not ours to measure with."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """One download that began with nothing."""

    whole_mb_s: float
    """By the time of the whole command."""

    transfer_mb_s: float
    """By the hub's clock, from the file's first byte that it sent to the last.

    Our command reads the file's header before it plans; with the process that pulls alone (--worker)
    it is the transfer and nothing else.
    """

    moved_bytes: int
    took_s: float


@dataclass(frozen=True, slots=True)
class Home:
    """A machine on which nothing is cached."""

    folder: Path
    hub: str

    @property
    def blobs(self) -> Path:
        return self.folder / "hf" / "hub" / f"models--{REPO.replace('/', '--')}" / "blobs"

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        return {
            **kept,
            "HF_ENDPOINT": self.hub,
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HOME": str(self.folder),
            "LOCALLLM_HOME": str(self.folder / "own"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
        }


class Puller(Protocol):
    """A program that brings the model."""

    def start(self, home: Home) -> subprocess.Popen[bytes]:
        """Start it, in a process group of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Theirs:
    """The command of huggingface_hub."""

    def start(self, home: Home) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("hf")), "download", REPO, FILE]
        return _started(command, home)


@dataclass(frozen=True, slots=True)
class Ours:
    """Our command, or the process that pulls for the daemon."""

    is_worker: bool
    connections: int

    def start(self, home: Home) -> subprocess.Popen[bytes]:
        if self.is_worker:
            return self._start_worker(home)
        model = f"hf:{REPO}:{QUANT}"
        return _started([sys.executable, "-m", "localllm", "pull", model, "--anyway"], home)

    def _start_worker(self, home: Home) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "localllm.store.pull_worker"]
        process = _started(command, home)
        begin = Begin(job=_job(home.hub), connections=self.connections, bytes_per_s=None)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(begin) + b"\n")
        process.stdin.flush()
        return process


def _job(hub: str) -> PullJob:
    found = HuggingFaceHub({"HF_ENDPOINT": hub}).fetch_repository(REPO, None)
    return PullJob(REPO, found.commit, found.files, ref="main")


def _started(command: list[str], home: Home) -> subprocess.Popen[bytes]:
    with (home.folder / "out").open("ab") as out:
        return subprocess.Popen(
            command,
            env=home.environment(),
            stdin=subprocess.PIPE,  # the worker ends with it
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """A hub with one model, and room for caches."""

    hub: HubProcess
    folder: Path
    sha256: str
    size: int

    @contextmanager
    def home(self) -> Iterator[Home]:
        """Make a fresh machine; it is gone with the block."""
        folder = Path(tempfile.mkdtemp(prefix="home", dir=self.folder))
        try:
            yield Home(folder, self.hub.url)
        finally:
            shutil.rmtree(folder)

    def measure(self, puller: Puller) -> Run:
        """Bring the model to a fresh machine.

        Raises:
            RuntimeError: It failed, or what came is wrong.
        """
        with self.home() as home:
            self.hub.tell(heal=True, forget=True)
            began = time.perf_counter()
            with puller.start(home) as process:
                code = process.wait()
            took_s = time.perf_counter() - began
            told = self.hub.tell()
            if code != 0 or not self.is_right(home):
                said = (home.folder / "out").read_text(errors="replace")
                raise RuntimeError(f"{puller} ended with {code}, and said:\n{said}")
        first, last = told["sent_between"]
        return Run(
            whole_mb_s=self.size / took_s / 1e6,
            transfer_mb_s=self.size / (last - first) / 1e6,
            moved_bytes=self.moved(told["sent_of"]),
            took_s=took_s,
        )

    def is_right(self, home: Home) -> bool:
        """Read the blob anew and tell whether it is the hub's."""
        blob = home.blobs / self.sha256
        return blob.is_file() and _sha256(blob) == self.sha256

    def moved(self, sent_of: dict[str, int]) -> int:
        """Of the model's file."""
        return sent_of.get(f"{REPO}/{FILE}", 0)


@contextmanager
def served_model(folder: Path, model: Path | None, size: int) -> Iterator[Bench]:
    """Serve a file, or one of `size` bytes that begins as SmolLM2 does and goes on at random."""
    root = folder / "served"
    place = root / REPO.replace("/", "--") / FILE
    place.parent.mkdir(parents=True)
    if model is not None:
        place.symlink_to(model.resolve())
    else:
        _write_model(place, size)
    with hub_process(root) as hub:
        yield Bench(hub, folder, _sha256(place), place.stat().st_size)


def _write_model(place: Path, size: int) -> None:
    shutil.copyfile(smollm2(), place)
    with place.open("ab") as opened:
        while (left := size - opened.tell()) > 0:
            opened.write(os.urandom(min(_CHUNK_BYTES, left)))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
