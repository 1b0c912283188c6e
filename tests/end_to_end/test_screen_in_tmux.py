"""The screen in a terminal, as a person opens it: by its command, with keys, and by what can be read there."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.a_terminal import Terminals, Window, terminals
from tests.fakes.installation import Installation, wait_until
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(180)]
MODEL = "smollm2-135m-instruct"
TUI = f"{sys.executable} -m localllm tui"
LOADS_S = 60.0


@pytest.fixture(scope="module")
def here() -> Iterator[Installation]:
    """Nothing runs there at first; another model is a file beside it."""
    with tempfile.TemporaryDirectory(prefix="llt-") as folder:
        installation = Installation(Path(folder), HOME=folder)
        shutil.copy(smollm2(), Path(folder) / "other.gguf")
        yield installation
        installation.close()


@pytest.fixture
def opened(here: Installation) -> Iterator[Terminals]:
    with terminals(here.environment) as made:
        yield made


def test_from_nothing_to_one_model_and_to_another_by_keys_alone(
    here: Installation, opened: Terminals
) -> None:
    window = opened.open()
    window.run(TUI)
    window.wait_for("no daemon since", "S starts one")
    window.press("S")
    window.wait_for("Nothing is served. The best choices")

    _switch(window, "135m q41", f"{MODEL} is ready: context")
    window.wait_for("1 ● ready", MODEL, "Q4_1")
    _switch(window, str(here.home / "other.gguf"), "other is ready: context")

    window.wait_for("1 ● ready  other")
    assert [model["id"] for model in here.json("status")["models"]] == ["other"]
    opened.close()  # the terminal is gone, and with it the screen that started the daemon
    assert here.model()["state"] == "ready"


def test_two_screens_show_the_same_and_closing_both_leaves_it_served_and_the_terminal_sane(
    here: Installation, opened: Terminals
) -> None:
    here.ok("up", str(here.home / "other.gguf"))
    windows = [opened.open(80, 24), opened.open(200, 60)]
    for window in windows:
        window.run(TUI)
    for window in windows:
        window.wait_for("ready  other", "cpu")
        assert window.facts("alternate_on") == {"alternate_on": "1"}

    here.ok("switch", "other", "--context", "768")
    for window in windows:
        window.wait_for("ready  other", " 768 ", within_s=LOADS_S)
    windows[1].resize(90, 30)
    windows[1].wait_for("ready  other", " 768 ", "6 Agents")

    for window in windows:
        window.press("q")
        _is_sane(window)
    assert here.model()["state"] == "ready"
    assert [one for one in here.processes() if one.cmdline()[-1] == "tui"] == []


def test_a_screen_whose_terminal_is_closed_ends(here: Installation, opened: Terminals) -> None:
    here.ok("up", str(here.home / "other.gguf"))
    window = opened.open()
    window.run(TUI)
    window.wait_for("ready  other")

    opened.close()

    wait_until(
        lambda: not [one for one in here.processes() if one.cmdline()[-1:] == ["tui"]],
        "it has ended",
        within_s=10,
    )
    assert here.model()["state"] == "ready"


def _switch(window: Window, text: str, said: str) -> None:
    window.press("s")
    window.wait_for("type to filter", "verdict")
    window.wait_until(_lists_what_is_to_be_fetched, "the plan", within_s=LOADS_S)
    window.type(text)
    window.wait_until(
        lambda shown: text in shown and not _lists_what_is_to_be_fetched(shown), "the filter"
    )
    window.press("Down")
    window.wait_for("d Download")  # the list has the keyboard
    window.wait_for("fits")
    window.press("Enter")
    window.wait_for(said, within_s=LOADS_S)
    window.press("Enter")


def _lists_what_is_to_be_fetched(shown: str) -> bool:
    """How large it is stands there where else it says that it is on the disk."""
    return re.search(r"[GM]iB fits", shown) is not None


def _is_sane(window: Window) -> None:
    """The shell is back, and nothing is left of the screen's modes."""
    wait_until(lambda: window.facts("alternate_on") == {"alternate_on": "0"}, "it is closed")
    window.run("echo left with $?; stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(echo|icanon|isig)'")
    window.wait_for("left with 0", "\nisig\nicanon\necho\n")
    facts = window.facts("alternate_on", "mouse_any_flag", "cursor_flag", "pane_current_command")
    assert list(facts.values()) == ["0", "0", "1", "sh"]
