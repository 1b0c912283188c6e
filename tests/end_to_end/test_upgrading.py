"""localllm replaces itself by another version, under a daemon that serves, and comes back with the same."""

from __future__ import annotations

import http.client
import json
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localllm import __version__
from tests.fakes.installation import wait_until
from tests.fakes.wheels import (
    InstalledProgram,
    an_environment,
    another_tree,
    build_wheel,
    install_into,
)

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("upgrading")]
MODEL, NEWER, BROKEN = "smollm2-135m-instruct", "9.0.0", "9.9.9"


@dataclass(frozen=True, slots=True)
class Scene:
    here: InstalledProgram
    newer: Path
    """A folder with the wheel of a newer version."""

    broken: Path
    """One whose daemon does not start."""

    def version(self) -> str:
        return str(self.here.json("status")["daemon"]["version"])

    def served(self) -> list[tuple[str, str, int]]:
        models = self.here.json("status")["models"]
        return [(one["id"], one["state"], one["context"]) for one in models]

    def requests(self) -> int:
        with sqlite3.connect(self.here.state / "requests.sqlite3") as ledger:
            return int(ledger.execute("SELECT count(*) FROM requests").fetchone()[0])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    work = tmp_path_factory.mktemp("upgrading")
    wheels = [work / name for name in ("first", "newer", "broken")]
    for folder in wheels:
        folder.mkdir()
    first = build_wheel(wheels[0])
    build_wheel(wheels[1], another_tree(work / "newer-tree", NEWER))
    tree = another_tree(work / "broken-tree", BROKEN)
    (tree / "localllm" / "daemon" / "__main__.py").write_text(
        'raise SystemExit("no daemon today")\n'
    )
    build_wheel(wheels[2], tree)
    programs = an_environment(work / "environment")
    install_into(programs, first)
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        here = InstalledProgram(Path(home), programs)
        here.ok("up", "--context", "512")
        yield Scene(here, wheels[1], wheels[2])
        here.close()


class Stream:
    """An answer that goes on until its context is full."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        words = {"role": "user", "content": "Count from one to a thousand, in words."}
        body = {"model": MODEL, "messages": [words], "stream": True, "ignore_eos": True}
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        self._answer = self._connection.getresponse()
        self.text = self._answer.readline()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        self.text += self._answer.read()

    def end(self) -> bytes:
        self._reading.join()
        self._connection.close()
        return self.text


def test_a_check_tells_what_would_change_and_changes_nothing(scene: Scene) -> None:
    before = scene.here.daemon_file()

    document = scene.here.json("upgrade", "--check", "--from", str(scene.newer))

    assert (document["method"], "All new." in document["changelog"]) == ("pip", True)
    assert {"name": "localllm", "before": __version__, "after": NEWER} in document["packages"]
    assert document["is_needed"]
    assert scene.here.daemon_file() == before
    assert __version__ in scene.here.ok("--version")


def test_where_nobody_can_be_asked_nothing_is_done(scene: Scene) -> None:
    ran = scene.here.run("upgrade", "--from", str(scene.newer))

    assert (ran.code, scene.version()) == (2, __version__)
    assert "--yes" in ran.err


def test_a_version_that_cannot_be_had_leaves_all_as_it_was(scene: Scene, tmp_path: Path) -> None:
    before = scene.here.daemon_file()

    ran = scene.here.run("upgrade", "--from", str(tmp_path), "--to", "7.7.7", "--yes")

    assert ran.code == 6, ran
    assert "localllm 7.7.7 could not be fetched" in ran.err
    assert scene.here.daemon_file() == before, "the daemon has not noticed"
    assert not list((scene.here.home / "cache").glob("localllm-upgrade-*"))


def test_a_version_that_does_not_come_up_is_taken_back_and_the_old_one_serves(
    scene: Scene,
) -> None:
    ran = scene.here.run("upgrade", "--from", str(scene.broken), "--yes", within_s=120)

    assert ran.code == 7, ran
    assert "the old one is back" in ran.err
    assert __version__ in scene.here.ok("--version")
    wait_until(lambda: scene.served() == [(MODEL, "ready", 512)], "it serves again")


def test_an_upgrade_lets_streams_end_serves_the_same_keeps_all_and_goes_back(
    scene: Scene,
) -> None:
    stream, old = Stream(scene.here.port), scene.here.daemon_file()

    ran = scene.here.run("upgrade", "--from", str(scene.newer), "--yes", within_s=120)

    assert ran.code == 0, ran
    text = stream.end()
    assert text.rstrip().endswith(b"data: [DONE]"), text[-500:]
    assert b'"finish_reason":"length"' in text
    assert f"localllm {NEWER} serves {MODEL}" in ran.err
    assert f"localllm upgrade --to {__version__}" in ran.err
    assert scene.here.daemon_file()["pid"] != old["pid"]
    assert (scene.version(), scene.served()) == (NEWER, [(MODEL, "ready", 512)])
    assert scene.requests() == 1, "what was counted stays"

    back = scene.here.run("upgrade", "--to", __version__, "--yes", within_s=120)
    assert back.code == 0, back
    assert (scene.version(), scene.served()) == (__version__, [(MODEL, "ready", 512)])
