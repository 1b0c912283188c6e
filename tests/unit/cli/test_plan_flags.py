"""What `plan` can be asked for, as a shell and a terminal see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_main import ROOT, localllm


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


ELSEWHERE = ("plan", "qwen3-8b", "--for", "rtx4090", "--offline")


def planned_elsewhere(home: Path, *more: str) -> dict[str, Any]:
    """The document of a model of the catalog on a machine that is not here."""
    ran = localllm(home, *ELSEWHERE, "--json", *more)
    assert (ran.returncode, ran.stderr) == (0, "")
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def test_plan_for_another_machine_asks_neither_this_one_nor_a_hub(home: Path) -> None:
    document = planned_elsewhere(home)

    devices = [device["id"] for device in document["hardware"]["devices"]]
    assert devices == ["cuda:0", "cpu"]
    assert {c["header"] for c in document["candidates"]} == {"catalog"}
    assert document["candidates"][document["choice"]]["verdict"] == "fits"
    assert document["why"]
    assert not home.exists()


def test_plan_takes_what_is_asked_for(home: Path) -> None:
    asked = ("--quant", "q4_k_m", "--context", "8192", "--parallel", "2", "--kv-type", "q8_0")

    document = planned_elsewhere(home, *asked, "--use", "code")

    [candidate] = document["candidates"]
    assert document["use"] == "code"
    assert candidate["quant"] == "Q4_K_M"
    assert [candidate[n] for n in ("context", "parallel", "kv_type")] == [8192, 2, "q8_0"]


def test_plan_explains_the_choice_alone_and_only_when_asked(home: Path) -> None:
    explained = planned_elsewhere(home, "--explain")

    with_formulas = [i for i, c in enumerate(explained["candidates"]) if c["explanation"]]
    assert with_formulas == [explained["choice"]]
    assert not any(c["explanation"] for c in planned_elsewhere(home)["candidates"])


def test_plan_reads_a_machine_from_a_file_in_the_folder_that_one_is_in(
    home: Path, tmp_path: Path
) -> None:
    machine = 'format = 1\n[host]\nmemory_gib = 32\n[[devices]]\nname = "rtx4090"\n'
    (tmp_path / "mine.toml").write_text(machine)

    ran = localllm(home, "plan", "qwen3-8b", "--for", "mine.toml", "--offline", cwd=tmp_path)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "RTX 4090" in ran.stdout


def test_a_plan_that_is_piped_is_wide_without_colour_and_in_what_the_reader_can_decode(
    home: Path,
) -> None:
    ran = localllm(home, *ELSEWHERE, COLUMNS="40", PYTHONIOENCODING="ascii")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.isascii()
    assert "\x1b" not in ran.stdout
    assert "quality" in ran.stdout


@pytest.mark.parametrize(
    ("variables", "colored"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_gets_colours_unless_its_user_wants_none(
    home: Path, variables: dict[str, str], colored: bool
) -> None:
    shown = on_a_terminal(home, *ELSEWHERE, COLUMNS="70", **{"TERM": "xterm", **variables})

    assert ("\x1b[32mfits" in shown) is colored
    assert "fits" in shown
    assert "KV cache " not in shown.splitlines()[3]


def on_a_terminal(home: Path, *words: str, **variables: str) -> str:
    """What a person sees on a terminal of their own."""
    ours = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment = {**ours, "LOCALLLM_HOME": str(home), "PYTHONPATH": str(ROOT), **variables}
    ours_end, its_end = os.openpty()
    command = [sys.executable, "-m", "localllm", *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=its_end, stdout=its_end, stderr=its_end
    ) as child:
        os.close(its_end)
        shown = b""
        with suppress(OSError):  # Linux's word for the end of a terminal
            while read := os.read(ours_end, 65_536):
                shown += read
        child.wait()
    os.close(ours_end)
    return shown.decode()
