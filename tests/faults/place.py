"""Where a fault happens: installations and folders that end with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.installation import Installation


@dataclass(frozen=True, slots=True)
class Place:
    """What it gives is gone once `stack` is left."""

    stack: ExitStack

    def folder(self) -> Path:
        """Make one with a short path, as Unix sockets need it."""
        made = Path(tempfile.mkdtemp(prefix="lll-"))
        self.stack.callback(shutil.rmtree, made, ignore_errors=True)
        return made

    def install(self, settings: str = "", **environment: str) -> Installation:
        """Make an installation with a config.toml; whatever it leaves running is ended."""
        here = Installation(self.folder(), **environment)
        self.stack.callback(here.close)
        here.configure(settings)
        return here


@contextmanager
def a_place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)
