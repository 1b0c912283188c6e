"""Asking an engine for its buffers: what it is told, and that it never gets to load."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.engines.base import Adapter, Drafting, EngineDevice, Installed
from localllm.engines.estimate import Question, estimate, question
from localllm.engines.estimate_log import Estimate, NoEstimate, Refused
from localllm.engines.sparse import Part
from localllm.hardware.machine import DeviceKind
from tests.unit.engines.a_serving import CUDA, VULKAN, on_device, on_processor

MIB = 1 << 20
TABLE = (
    "common_memory_breakdown_print: |   - Host | 153 = 92 + 45 + 16 |\\n"
    "common_params_fit_impl: projected to use 153 MiB of host memory\\n"
)
SECOND = EngineDevice("Vulkan1", DeviceKind.VULKAN, "llvmpipe (LLVM 15.0.6, 256 bits)")
SERVER = Installed(
    "llama-server",
    "b10434",
    ("/opt/llama-server",),
    (VULKAN,),
    frozenset({"--fit", "--load-mode", "unix_socket"}),
)
XLLAMACPP = Installed(
    "xllamacpp",
    "2026.10",
    (sys.executable, "-P", "-m", "localllm.engines.workers.xllamacpp"),
    abilities=frozenset({"unix_socket"}),
)


def an_engine(folder: Path, does: str) -> Installed:
    """A llama-server whose whole behaviour is `does`; the folder is its to leave traces in."""
    program = folder / "engine.py"
    program.write_text(
        f"import os, pathlib, sys, time\nhome = pathlib.Path({str(folder)!r})\n{does}"
    )
    return replace(SERVER, program=(sys.executable, str(program)))


def prints(text: str) -> str:
    return f'print("{text}", end="", flush=True)\n'


def last_of(argv: Question, flag: str) -> str:
    """What llama.cpp takes of a flag that is given more than once."""
    words = list(argv.argv)
    return words[len(words) - words[::-1].index(flag)]


def test_a_llama_server_is_started_as_to_serve_but_measures_aloud() -> None:
    serving = on_device(VULKAN, kv_type="q8_0", micro_batch=128, context=16384, parallel=2)
    serving = replace(serving, devices=(VULKAN, SECOND), split=(8, 4), experts_on_host=3, layers=31)

    asked = question(SERVER, serving, Path("/run/here"))

    told = {
        "--model": "/models/my model.gguf",
        "--ctx-size": "16384",
        "--parallel": "2",
        "--cache-type-k": "q8_0",
        "--ubatch-size": "128",
        "--device": "Vulkan0,Vulkan1",
        "--gpu-layers": "12",
        "--tensor-split": "8,4",
        "--n-cpu-moe": "3",
        "--fit": "on",
        "--log-verbosity": "5",
        "--load-mode": "mmap",
        "--host": "/run/here/e.sock",
    }
    assert {flag: last_of(asked, flag) for flag in told} == told
    assert "--no-warmup" in asked.argv


def test_nvidia_devices_are_named_in_the_environment(tmp_path: Path) -> None:
    asked = question(SERVER, on_device(CUDA, uuids=("GPU-1",)), tmp_path)

    assert asked.env["CUDA_VISIBLE_DEVICES"] == "GPU-1"


def test_an_old_server_gets_a_port_of_its_own_and_a_key(tmp_path: Path) -> None:
    old = replace(SERVER, abilities=frozenset({"--fit"}))

    asked = question(old, on_processor(), tmp_path)

    assert (last_of(asked, "--host"), last_of(asked, "--port")) == ("127.0.0.1", "0")
    assert len(asked.env["LLAMA_API_KEY"]) == 32
    assert asked.argv[-3:] == ("--mmap", "--log-verbosity", "5")


def test_a_folder_too_deep_for_a_socket_means_a_port() -> None:
    asked = question(SERVER, on_processor(), Path("/tmp") / ("deep" * 25))

    assert last_of(asked, "--port") == "0"


def test_xllamacpp_is_asked_in_a_worker_that_gets_what_serving_gets(tmp_path: Path) -> None:
    asked = question(XLLAMACPP, on_processor(), tmp_path)

    assert asked.argv[:-1] == (sys.executable, "-P", "-m", "localllm.engines.workers.estimate")
    told = json.loads(asked.argv[-1])
    assert (told["context"], told["parallel"], told["kv_type"]) == (8192, 4, "f16")
    assert told["model"] == "/models/my model.gguf"


def test_what_goes_with_a_model_is_not_asked_about(tmp_path: Path) -> None:
    serving = on_processor(
        drafting=Drafting(3, Path("/models/small.gguf"), "f16"),
        adapters=(Adapter(Path("/models/a.gguf")),),
        engine_args=("--seed", "7"),
    )

    told = json.loads(question(XLLAMACPP, serving, tmp_path).argv[-1])
    argv = question(SERVER, serving, tmp_path).argv
    assert (told["draft"], told["adapters"]) == (None, [])
    assert {"--spec-type", "--lora-scaled", "--seed"}.isdisjoint(argv)


def test_a_projector_is_not_asked_about(tmp_path: Path) -> None:
    serving = on_processor(projector_file=Path("/models/mmproj.gguf"))

    assert "--mmproj" not in question(SERVER, serving, tmp_path).argv
    assert json.loads(question(XLLAMACPP, serving, tmp_path).argv[-1])["projector"] is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (replace(SERVER, reason="no llama-server on PATH"), "no llama-server on PATH"),
        (
            replace(SERVER, abilities=frozenset()),
            "this llama-server is too old to measure a model without loading it",
        ),
        (
            Installed("mlx", "0.32", ("mlx",)),
            "mlx cannot measure a model without loading it",
        ),
        (replace(SERVER, program=("/nowhere/llama-server",)), "exited with 127"),
    ],
    ids=["not to be had", "too old", "another kind", "gone since it was found"],
)
def test_an_engine_that_cannot_measure_says_why(found: Installed, reason: str) -> None:
    assert estimate(found, on_processor(), {"PATH": os.defpath}) == NoEstimate(reason)


def test_an_engine_is_killed_before_it_loads_what_it_has_measured(tmp_path: Path) -> None:
    engine = an_engine(tmp_path, prints(TABLE) + "time.sleep(5)\n(home / 'loaded').touch()")

    started = time.monotonic()
    answered = estimate(engine, on_processor(), os.environ)

    assert isinstance(answered, Estimate)
    assert answered.report.total_bytes == (92 + 45) * MIB
    assert time.monotonic() - started < 5
    assert not (tmp_path / "loaded").exists()


def test_an_engine_that_refuses_the_model_is_told_from_one_that_fails(tmp_path: Path) -> None:
    refuses = prints("error loading model: unknown model architecture: 'next'\\n")

    answered = estimate(an_engine(tmp_path, refuses), on_processor(), os.environ)

    assert answered == Refused("unknown model architecture: 'next'", "next")


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("time.sleep(60)", "it did not answer in time"),
        ("while True: print('still loading', flush=True)", "it did not answer in time"),
        ("sys.exit(3)", "exited with 3"),
        ("os.kill(os.getpid(), 11)", "killed by signal 11 (segmentation fault"),
    ],
    ids=["hangs", "talks for ever", "gives up", "crashes"],
)
def test_an_engine_without_an_answer_leaves_a_reason(
    tmp_path: Path, does: str, reason: str
) -> None:
    answered = estimate(an_engine(tmp_path, does), on_processor(), os.environ, deadline_s=1)

    assert isinstance(answered, NoEstimate)
    assert answered.reason.startswith(reason)


def test_what_an_engine_has_started_ends_with_it(tmp_path: Path) -> None:
    starts = (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "(home / 'pid').write_text(str(child.pid))\n"
    )

    estimate(
        an_engine(tmp_path, starts + prints(TABLE) + "time.sleep(60)"), on_processor(), os.environ
    )

    assert gone(int((tmp_path / "pid").read_text()))


def test_a_header_is_asked_about_in_a_private_folder_that_is_removed(tmp_path: Path) -> None:
    looks = (
        "file = pathlib.Path(sys.argv[sys.argv.index('--model') + 1])\n"
        "seen = (file, file.stat().st_size, oct(file.parent.stat().st_mode))\n"
        "(home / 'seen').write_text(' '.join(map(str, seen)))\n"
    )
    engine = an_engine(tmp_path, looks + prints(TABLE) + "time.sleep(60)")

    answered = estimate(
        engine, on_processor(), os.environ, parts=[Part(b"GGUF", 5 << 30), Part(b"GGUF", 9)]
    )

    assert isinstance(answered, Estimate)
    file, size, mode = (tmp_path / "seen").read_text().split()
    assert (Path(file).name, int(size)) == ("model-00001-of-00002.gguf", 5 << 30)
    assert stat.S_IMODE(int(mode, 8)) == 0o700
    assert not Path(file).parent.exists()


def test_an_engine_ends_though_the_one_who_asked_is_killed(tmp_path: Path) -> None:
    engine = an_engine(tmp_path, "(home / 'pid').write_text(str(os.getpid()))\ntime.sleep(60)")
    asks = (
        "import os\nfrom localllm.engines.base import Installed\n"
        "from localllm.engines.estimate import estimate\n"
        "from tests.unit.engines.a_serving import on_processor\n"
        f"found = Installed('llama-server', None, {tuple(engine.program)!r}, (), frozenset(['--fit']))\n"
        "estimate(found, on_processor(), os.environ, deadline_s=60)\n"
    )
    root = Path(__file__).parents[3]
    own = {**os.environ, "TMPDIR": str(tmp_path)}  # what a killed process cannot remove
    asker = subprocess.Popen([sys.executable, "-c", asks], cwd=root, env=own)
    pid = int(awaited(tmp_path / "pid"))

    asker.send_signal(signal.SIGKILL)
    asker.wait()

    assert gone(pid)


def awaited(file: Path) -> str:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if file.exists() and (text := file.read_text()):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{file} was not written")


def gone(pid: int) -> bool:
    """Whether the process ends; one that nobody has waited for yet counts as ended."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        if state.stdout.strip()[:1] in ("", "Z"):
            return True
        time.sleep(0.02)
    return False
