"""What a real systemd makes of words that were written for it."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from localllm.service.quoting import command_line, quoted
from tests.fakes.user_manager import UserManager, a_user_manager

pytestmark = pytest.mark.timeout(120)
NASTY = (
    *("a b", "%h%%n%", "$HOME ${HOME} $$", "\\", "\\x41\\n", '"', "'", "it's", 'say "hi" \\" now'),
    *(
        ";",
        "#",
        "-",
        "@x",
        "~",
        "*",
        "a=b=c",
        " lead and trail ",
        "é 漢字 🦙",
        "\u2028\x85",
        "{}[]()<>|&",
    ),
)
LINES = ("two\nlines", "tab\tstop", "end\n")
DUMP = """\
#!{python}
import json, os, pathlib, sys
kept = {{k: v for k, v in os.environ.items() if k.startswith("WORD_")}}
pathlib.Path("{out}").write_text(json.dumps([sys.argv, kept]))
"""


@pytest.fixture(scope="module")
def manager() -> Iterator[UserManager]:
    with tempfile.TemporaryDirectory(prefix="lls-") as home, a_user_manager(Path(home)) as running:
        yield running


@pytest.mark.parametrize("name", ["plain", "a b", "%h", "$HOME", "it's", 'q"q', "b\\b", "é漢"])
def test_a_program_gets_the_arguments_and_variables_that_were_meant(
    manager: UserManager, name: str
) -> None:
    folder = manager.home / name
    folder.mkdir()
    program, out = folder / "program", manager.home / "out.json"
    program.write_text(DUMP.format(python=sys.executable, out=out))
    program.chmod(0o755)
    variables = {f"WORD_{i}": word for i, word in enumerate((*NASTY, *LINES))}
    environment = "\n".join(f"Environment={quoted(f'{k}={v}')}" for k, v in variables.items())
    command = command_line(str(program), *NASTY, *LINES)
    unit = f"[Service]\nType=oneshot\n{environment}\nExecStart={command}\n"
    (manager.units / "words.service").write_text(unit)
    manager.systemctl("daemon-reload")

    started = manager.systemctl("start", "words.service")

    assert started.returncode == 0, (started.stderr, manager.log())
    argv, kept = json.loads(out.read_text())
    assert argv == [str(program), *NASTY, *LINES]
    assert kept == variables
