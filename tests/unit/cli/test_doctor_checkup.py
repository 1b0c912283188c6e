"""`localllm doctor`: what people, scripts and bug reports get of it."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from localllm.cli.main import cli
from localllm.errors import LocalLLMError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own, with a port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALLLM_PORT", str(port))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path


def doctor(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["doctor", "--offline", *words], input=answer)


def found(*words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(doctor("--json", *words).stdout)
    return document


def with_open_keys(home: Path) -> Path:
    keys = home / "state" / "keys.json"
    keys.write_text('{"format": 1, "keys": []}')
    keys.chmod(0o644)
    return keys


def ids(document: dict[str, Any]) -> set[str]:
    return {one["id"] for one in document["findings"]}


def test_the_document_has_every_finding_the_worst_first(home: Path) -> None:
    with_open_keys(home)

    document = found()

    first = document["findings"][0]
    assert document["worst"] == first["severity"] == "problem"
    assert sum(document["counts"].values()) == len(document["findings"])
    open_ = next(one for one in document["findings"] if one["id"] == "files.too-open")
    assert open_["fix"] == f"chmod 600 {home / 'state' / 'keys.json'}"
    assert open_["repair"] == open_["fix"]


def test_a_problem_is_exit_code_1_and_none_is_0(home: Path) -> None:
    keys = with_open_keys(home)
    assert doctor().exit_code == 1

    keys.unlink()
    document = found()
    assert doctor().exit_code == (1 if document["worst"] == "problem" else 0)
    assert "files.too-open" not in ids(document)


def test_fix_says_what_it_would_do_and_asks_nobody_who_is_not_there(home: Path) -> None:
    keys = with_open_keys(home)

    ran = doctor("--fix")

    assert f"would: chmod 600 {keys}" in ran.stderr
    assert "localllm doctor --fix --yes" in ran.stderr
    assert stat.S_IMODE(keys.stat().st_mode) == 0o644


def test_fix_does_it_tells_it_and_looks_again(home: Path) -> None:
    keys = with_open_keys(home)

    document = found("--fix", "--yes")

    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert document["repaired"] == [
        {
            "id": "files.too-open",
            "what": f"Others may open the file {keys} (644).",
            "did": f"{keys} is 600 now",
            "error": None,
        }
    ]
    assert "files.too-open" not in ids(document)


def test_fix_without_anything_to_mend_says_so() -> None:
    assert "nothing here can be mended by itself" in doctor("--fix").stderr


def test_what_is_in_order_is_one_line_unless_all_is_asked_for() -> None:
    assert "IN ORDER" not in doctor().stdout
    assert "in order, in " in doctor().stdout
    assert "IN ORDER" in doctor("--all").stdout


def test_a_bundle_goes_where_it_is_told_and_says_what_is_in_it(home: Path) -> None:
    ran = doctor("--bundle", "report.zip", "--json")

    file = home / "report.zip"
    assert json.loads(ran.stdout)["bundle"] == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    assert {"README.txt", "doctor.json", "versions.json"} <= set(names)
    assert all(name in ran.stderr for name in names)


def test_a_bundle_has_a_name_of_its_own_where_none_is_given(home: Path) -> None:
    doctor("--bundle")

    (file,) = home.glob("localllm-doctor-*.zip")
    assert zipfile.is_zipfile(file)


def test_a_bundle_replaces_nothing(home: Path) -> None:
    (home / "mine.zip").write_text("mine")

    ran = doctor("--bundle", "mine.zip")

    assert isinstance(ran.exception, LocalLLMError)
    assert (home / "mine.zip").read_text() == "mine"


HANGS = """
import sys, threading
from localllm.checkup import all_checks as listed
from localllm.checkup.examining import Check
from localllm.checkup.finding import Area
from localllm.cli.main import run
stuck = Check("far", Area.DISK, lambda _: threading.Event().wait(), "the server is gone")
checks = listed.all_checks
listed.all_checks = lambda place: [*checks(place), stuck]
sys.argv = ["localllm", "doctor", "--offline", "--json"]
run()
"""


def test_a_thread_that_hangs_keeps_neither_the_answer_nor_the_process() -> None:
    """A dead network disk, as Python sees it: a thread that nobody can end."""
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, cwd=ROOT, timeout=20, check=False
    )

    document = json.loads(ran.stdout)
    late = next(one for one in document["findings"] if one["id"] == "far.late")
    assert (late["severity"], late["why"]) == ("warning", "the server is gone")
    assert ran.returncode == (1 if document["worst"] == "problem" else 0)
    assert document["took"] < 2.0
    assert time.monotonic() - began < 10.0, "far less, but for a busy machine's start"
