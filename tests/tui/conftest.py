"""Shared by the tests of the screen; the functions can be imported from tests.fakes.a_screen as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import a_screen, scenes
from tests.fakes.scene import Scene
from tests.fakes.scripted_daemon import ScriptedDaemon


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Scene:
    """rtx5090, or what `parametrize("scene", ["busy"], indirect=True)` names."""
    return scenes.ALL[getattr(request, "param", "rtx5090")]()


@pytest.fixture
def daemon(scene: Scene, tmp_path: Path) -> Iterator[ScriptedDaemon]:
    with ScriptedDaemon(scene, tmp_path) as running:
        yield running


@pytest.fixture
def app_for():
    return a_screen.app_for


@pytest.fixture
def until():
    return a_screen.until
