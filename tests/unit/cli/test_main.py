"""The program as a shell sees it: exit code, standard output, standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from localllm import __version__
from localllm.api.views import StopReply
from localllm.cli.conventions import absolute, print_document
from localllm.cli.main import cli
from tests.unit.formats.a_gguf import a_file, a_header

ROOT = Path(__file__).parents[3]
VERBS = ("up", "down", "status", "probe", "plan", "run", "stop", "logs", "prefix")

Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "Tiny-F32.gguf"
    file.write_bytes(a_file(a_header()))
    return file


def localllm(home: Path, *words: str, cwd: Path = ROOT, **variables: str) -> Ran:
    """Run the program in an installation of its own, without an engine of this machine's user."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("LOCALLLM_")}
    places = {"LOCALLLM_HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    places["HF_ENDPOINT"] = "http://127.0.0.1:9"  # no hub
    environment = {**ours, **places, **variables}
    command = [sys.executable, "-m", "localllm", *words]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def sentences(ran: Ran) -> list[str]:
    """The first words of what is said of an error."""
    return [line.split(":")[0] for line in ran.stderr.splitlines()]


def test_an_error_is_three_sentences_on_stderr_its_own_code_and_nothing_on_stdout(
    home: Path,
) -> None:
    ran = localllm(home, "status")

    assert (ran.returncode, ran.stdout) == (4, "")
    assert sentences(ran) == ["localllm", "  why", "  fix"]
    assert ran.stderr.startswith("localllm: No daemon is running.\n")
    assert ran.stderr.endswith("  fix: localllm up\n")


def test_asking_creates_nothing(home: Path) -> None:
    localllm(home, "status", "--json")

    assert not home.exists()


def test_debug_shows_the_traceback_instead(home: Path) -> None:
    ran = localllm(home, "--debug", "status")

    assert ran.returncode != 0
    assert "Traceback" in ran.stderr
    assert "NotRunning" in ran.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["plan", "no-such-model"], 5, "No model 'no-such-model'"),
        (["plan", "/nowhere/m.gguf"], 5, "There is no file /nowhere/m.gguf."),
        (["stop", "m"], 4, "No daemon is running."),
        (["logs"], 4, "No daemon is running."),
        (["down"], 4, "No daemon is running."),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    home: Path, words: list[str], code: int, said: str
) -> None:
    ran = localllm(home, *words)

    assert (ran.returncode, ran.stdout) == (code, "")
    assert sentences(ran) == ["localllm", "  why", "  fix"]
    assert said in ran.stderr


def test_a_mistake_in_the_configuration_is_wrong_usage(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text("prot = 1")

    ran = localllm(home, "probe")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "prot" in ran.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stauts"], "No command 'stauts', did you mean status?"),
        (["zzz"], "No command 'zzz'."),
        (["plan", "--contxt", "1"], "--context"),
        (["plan", "--context", "0"], "--context"),
        (["plan", "--use", "cooking"], "--use"),
        (["plan", "--kv-type", "q5_1"], "--kv-type"),
        (["plan", "--for", "rtx5091"], "rtx5091"),
        (["stop"], "MODEL"),
    ],
)
def test_wrong_usage_names_the_nearest_right_one(home: Path, words: list[str], said: str) -> None:
    ran = localllm(home, *words)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr


def test_probe_prints_one_document_and_nothing_else(home: Path) -> None:
    ran = localllm(home, "probe", "--json")

    assert (ran.returncode, ran.stderr) == (0, "")
    document = json.loads(ran.stdout)
    assert set(document) == {"host", "devices", "warnings"}
    assert document["devices"][-1]["id"] == "cpu"
    assert ran.stdout.count("\n") == 1


def test_plan_prints_one_document_for_a_file_without_a_daemon(home: Path, model: Path) -> None:
    elsewhere = ("--for", "cpu-64")  # here an engine would be asked, which refuses so bare a file
    ran = localllm(home, "plan", str(model), "--json", "--context", "512", *elsewhere)

    assert (ran.returncode, ran.stderr) == (0, "")
    document = json.loads(ran.stdout)
    [candidate] = document["candidates"]
    assert document["model"]["id"] == candidate["model"] == "tiny-f32"
    assert (candidate["context"], candidate["verdict"]) == (512, "fits")
    assert candidate["source"]["files"] == [str(model)]


def test_a_plan_that_does_not_fit_is_a_document_too_and_says_so_by_its_exit_code(
    home: Path, model: Path
) -> None:
    ran = localllm(home, "plan", str(model), "--json", "--context", "1000000")

    assert ran.returncode == 3
    document = json.loads(ran.stdout)
    assert (document["choice"], document["candidates"][0]["verdict"]) == (None, "too_big")


def test_a_character_that_a_terminal_lacks_is_a_question_mark_and_no_traceback(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    prices = '[cost.apis."prices-in-€"]\ninput = 1\noutput = 1\n'
    (home / "config" / "config.toml").write_text(prices, encoding="utf-8")

    ran = localllm(home, "cost", PYTHONIOENCODING="latin-1")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "prices-in-?: no tokens to compare" in ran.stdout


def test_help_lists_every_verb_and_loads_none() -> None:
    code = (
        "import sys; from localllm.cli.main import cli; cli.main(['--help'], standalone_mode=False);"
        "print([name for name in sys.modules if name.startswith('localllm.cli.')])"
    )

    shown = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)

    assert all(f"\n  {verb} " in shown for verb in VERBS)
    assert shown.splitlines()[-1] == "['localllm.cli.main']"


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"localllm, version {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_of_its_own(verb: str) -> None:
    shown = CliRunner().invoke(cli, [verb, "-h"])

    assert shown.exit_code == 0
    assert shown.output.startswith(f"Usage: cli {verb} ")


def test_a_document_is_one_line_of_json_or_the_lines_for_a_person(
    capfd: pytest.CaptureFixture[str],
) -> None:
    reply = StopReply(stopped=["größe"])

    print_document(reply, ["one", "two"], as_json=True)
    print_document(reply, ["one", "two"], as_json=False)

    first, *rest = capfd.readouterr().out.splitlines()
    assert msgspec.json.decode(first, type=StopReply) == reply
    assert rest == ["one", "two"]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        (None, None),
        ("smollm2", "smollm2"),
        ("hf:me/tiny:Q8_0", "hf:me/tiny:Q8_0"),
        ("new.gguf", "{here}/new.gguf"),
        ("~/m.gguf", "{here}/me/m.gguf"),
        ("there", "there"),
        ("./there", "{here}/there"),
        ("owner/name", "owner/name"),
        ("/there", "/there"),
    ],
)
def test_a_path_goes_to_the_daemon_whole_and_a_name_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str | None, sent: str | None
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))

    assert absolute(typed) == (None if sent is None else sent.format(here=tmp_path))


def test_a_name_of_a_file_cannot_command_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "evil\x1b[2J-00001-of-00002.gguf"
    file.write_bytes(b"GGUF")

    ran = localllm(tmp_path / "home", "plan", str(file), "--offline")

    assert ran.returncode == 5
    assert "evil?[2J" in ran.stderr
    assert "\x1b" not in ran.stderr
