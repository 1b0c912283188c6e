"""Which keys of the screen have been pressed: those that tests press through `Fingers`, of all that there are."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot

import localllm.tui
from tests.fakes.a_screen import until

Key = tuple[str, str]
"""The class whose key it is, and its name as Textual has it."""


class Fingers:
    """Press keys, and remember whose they were."""

    def __init__(self) -> None:
        self.pressed: set[Key] = set()

    async def press(self, pilot: Pilot[Any], *keys: str) -> None:
        """Press one after the other; what a field takes as text is no key."""
        for key in keys:
            bound = pilot.app.screen.active_bindings.get(key)
            if bound is not None and bound.enabled:
                self.pressed |= {(one.__name__, key) for one in type(bound.node).__mro__}
            await pilot.press(key)

    async def write(self, pilot: Pilot[Any], text: str) -> None:
        """Write into the field that has the keyboard."""
        field = pilot.app.focused
        for letter in text:
            await pilot.press("space" if letter == " " else letter)
        await until(pilot, lambda: pilot.app.focused is field, f"{text!r} is written")


def every_key() -> set[Key]:
    """All that the screen's own classes bind."""
    found: set[Key] = set()
    for module in pkgutil.walk_packages(localllm.tui.__path__, "localllm.tui."):
        for one in vars(importlib.import_module(module.name)).values():
            is_own = isinstance(one, type) and one.__module__ == module.name
            if is_own and "BINDINGS" in vars(one):
                found |= {(one.__name__, b.key) for b in Binding.make_bindings(one.BINDINGS)}
    return found


def check_all_were_pressed(
    fingers: Fingers, request: pytest.FixtureRequest, base: Path, *files: str
) -> None:
    """Tell what these fingers pressed; whoever is the last of the files to do so finds none missing.

    They may run in any order, each in a process of its own: then their folders have one parent.

    Args:
        base: The folder of this process for what tests write.
    """
    if not set(files) <= {item.path.name for item in request.session.items}:
        pytest.skip(f"only after all tests of {' and '.join(files)}")
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "pressed"
    folder.mkdir(exist_ok=True)
    written = folder / f"{request.path.name}.half"
    written.write_text(json.dumps(sorted(fingers.pressed)))
    written.rename(folder / request.path.name)
    told = [folder / name for name in files if (folder / name).exists()]
    pressed = {tuple(key) for one in told for key in json.loads(one.read_text())}
    if len(told) == len(files):
        assert sorted(every_key() - pressed) == []
