"""Somebody who wants a file of the outside, whose connections break where a test says so."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from localllm.errors import LocalLLMError
from localllm.transfer import digests, session
from localllm.transfer.download import download
from localllm.transfer.manner import Manner
from localllm.transfer.part import Part, here_bytes
from localllm.transfer.wanted import Wanted
from tests.fakes.release_server import Fault, Outside, an_outside, sha256

URL = "https://github.com/me/engine/releases/download/b1/engine.tar.gz"
CONTENT = random.Random(7).randbytes(3_000_000)
ALL = f"bytes=0-{len(CONTENT) - 1}"
OTHER = random.Random(8).randbytes(len(CONTENT))


class House:
    """A server with one file, and the folder that it is wanted in."""

    def __init__(self, outside: Outside, folder: Path) -> None:
        self.outside = outside
        self.folder = folder
        self.path = outside.add(URL, CONTENT)
        self.told: list[int] = []
        self.whole = folder / sha256(CONTENT)
        self.part = folder / f"{self.whole.name}.part"
        self.quarantined = folder / f"{self.whole.name}.quarantined"

    @property
    def wanted(self) -> Wanted:
        url = f"{self.outside.mirror}/{URL.removeprefix('https://')}"
        return Wanted(url, digests.sha256(sha256(CONTENT)), len(CONTENT))

    @property
    def asked(self) -> list[str | None]:
        """The ranges of all requests."""
        return [asked for _, asked in self.outside.asked]

    @property
    def here_bytes(self) -> int:
        return here_bytes(self.whole, len(CONTENT))

    def fails(self, *faults: Fault) -> None:
        self.outside.faults[self.path] = list(faults)

    def has_part(self, content: bytes) -> None:
        self.folder.mkdir(exist_ok=True)
        part = Part(self.whole, len(CONTENT))
        part.write(0, content)
        part.close()

    async def fetch(self, tell: Callable[[int], None] | None = None) -> Path:
        async with session.outside({}) as outside:
            await download(outside, self.wanted, self.whole, Manner(tell=tell or self.told.append))
        return self.whole

    async def refusal(self, kind: type[LocalLLMError]) -> LocalLLMError:
        with pytest.raises(kind) as caught:
            await self.fetch()
        return caught.value

    async def refusal_to(self, tell: Callable[[int], None]) -> LocalLLMError:
        with pytest.raises(LocalLLMError) as caught:
            await self.fetch(tell)
        return caught.value


@contextmanager
def a_house(folder: Path) -> Iterator[House]:
    with an_outside() as outside:
        yield House(outside, folder / "downloads")


def noted_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note all pauses from now on, and make none."""
    pauses: list[float] = []

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(anyio, "sleep", note)
    return pauses
