"""What `S` does beside a daemon that runs."""

from __future__ import annotations

import pytest

from localllm import __version__
from localllm.cli import tui
from localllm.errors import AlreadyRunning
from localllm.paths import Paths


def test_a_daemon_of_another_version_is_neither_ended_nor_replaced(daemon, tmp_path) -> None:
    paths = Paths(config=tmp_path, data=tmp_path, state=daemon.file.parent, cache=tmp_path)

    with pytest.raises(AlreadyRunning, match=r"version 0\.0\.0") as raised:
        tui._start(paths)

    assert __version__ in raised.value.why
    assert daemon.scene.asked == []
