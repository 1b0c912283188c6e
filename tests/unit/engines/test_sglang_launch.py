"""The user's own SGLang: how it is found, and the command line it gets, against its recorded help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localllm.engines.base import Endpoint, EngineDevice, Installed, LaunchSpec, Serving
from localllm.engines.serving_launchers import parse_flags
from localllm.engines.sglang import Sglang
from localllm.engines.workers.http import KEY_VARIABLE
from localllm.formats.header import Format
from localllm.hardware.machine import DeviceKind
from tests.unit.engines.a_serving import on_processor

HELP = Path(__file__).parents[2] / "data" / "engine_help" / "sglang-serve.txt"
FLAGS = parse_flags(HELP.read_text())
PORT = Endpoint(port=4242, key="s3cret")
CARD = EngineDevice("CUDA0", DeviceKind.CUDA, "NVIDIA H100", 80 << 30, 79 << 30)


def launch(serving: Serving, flags: frozenset[str] = FLAGS) -> LaunchSpec:
    found = Installed("sglang", "0.5.23", ("/opt/python", "-c", "x", "serve"), abilities=flags)
    return Sglang({}).launch(found, serving, PORT)


def on_cards(number: int = 1, **more: object) -> Serving:
    return on_processor(model_file=Path("/models/Qwen3 FP8"), devices=(CARD,) * number, **more)


def install(folder: Path, main: str) -> dict[str, str]:
    """Install a package that is called sglang, its program, and a PyTorch of AMD's.

    Args:
        main: What its command line does, with `sys` and `os` imported.

    Returns:
        The environment in which they are found.
    """
    packages, programs = folder / "packages", folder / "bin"
    for each in (programs, packages / "sglang-0.5.23.dist-info", packages / "sglang" / "cli"):
        each.mkdir(parents=True)
    metadata = "Name: sglang\nVersion: 0.5.23\n"
    (packages / "sglang-0.5.23.dist-info" / "METADATA").write_text(metadata)
    (packages / "sglang" / "cli" / "main.py").write_text(f"import os, sys\ndef main():\n{main}")
    (packages / "torch.py").write_text("""\
from types import SimpleNamespace
version = SimpleNamespace(hip="7.2")
cuda = SimpleNamespace(
    device_count=lambda: 1,
    mem_get_info=lambda i: (180, 192),
    get_device_name=lambda i: "AMD Instinct MI300X",
)
""")
    program = programs / "sglang"
    program.write_text(f"#!{sys.executable}\nraise SystemExit('started by its own script')\n")
    program.chmod(0o755)
    return {"PATH": str(programs), "PYTHONPATH": str(packages)}


HELPS = f"    print({HELP.read_text()!r} if sys.argv[-1] == '--help' else 'served')\n"
SHOWS = """\
    print(sys.argv[1:])
    print(open("/proc/self/cmdline").read())
    print(sorted(os.environ))
"""


def test_it_is_found_on_path_with_version_cards_and_flags(tmp_path: Path) -> None:
    environment = install(tmp_path, HELPS)

    found = Sglang(environment).find()

    assert (found.reason, found.version) == (None, "0.5.23")
    assert found.origin == str(tmp_path / "bin" / "sglang")
    assert found.formats == {Format.SAFETENSORS}
    assert "--enable-metrics" in found.abilities
    assert "unix_socket" not in found.abilities
    assert found.devices == (
        EngineDevice("ROCm0", DeviceKind.ROCM, "AMD Instinct MI300X", 192, 180),
    )


def test_none_on_path_is_said_and_is_no_error(tmp_path: Path) -> None:
    found = Sglang({"PATH": str(tmp_path)}).find()

    assert (found.program, found.reason) == ((), "no sglang on PATH")


def test_a_launcher_whose_python_cannot_be_told_is_not_used(tmp_path: Path) -> None:
    environment = install(tmp_path, HELPS)
    program = tmp_path / "bin" / "sglang"
    program.write_bytes(b"\x7fELF")

    assert Sglang(environment).find().reason == f"{program} is no script of Python's"


def test_every_size_of_the_plan_is_on_the_command_line() -> None:
    spec = launch(on_cards(2), frozenset())

    assert spec.argv == [
        *("/opt/python", "-c", "x", "serve", "--model-path", "/models/Qwen3 FP8"),
        *("--served-model-name", "smol", "--host", "127.0.0.1", "--port", "4242"),
        *("--context-length", "8192", "--max-total-tokens", "8192"),
        *("--max-running-requests", "4", "--kv-cache-dtype", "auto", "--tp-size", "2"),
        "--enable-metrics",
    ]


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_every_flag_is_in_the_recorded_help(kv_type: str) -> None:
    argv = launch(on_cards(kv_type=kv_type)).argv

    assert {word for word in argv if word.startswith("--")} - FLAGS == set()
    assert "--trust-remote-code" not in argv


def test_an_eight_bit_cache_is_said_in_its_own_words() -> None:
    argv = launch(on_cards(kv_type="q8_0")).argv

    assert argv[argv.index("--kv-cache-dtype") + 1] == "fp8_e4m3"


def test_only_the_plans_cards_are_shown_and_nothing_is_told_to_anybody() -> None:
    spec = launch(on_cards(uuids=("GPU-1",)))

    assert spec.env == {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "GPU-1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        KEY_VARIABLE: "s3cret",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process list of Linux")
def test_the_key_reaches_it_but_neither_the_process_list_nor_its_children(tmp_path: Path) -> None:
    environment = install(tmp_path, HELPS)
    engine = Sglang(environment)
    spec = engine.launch(engine.find(), on_cards(), PORT)
    (tmp_path / "packages" / "sglang" / "cli" / "main.py").write_text(
        f"import os, sys\ndef main():\n{SHOWS}"
    )

    done = subprocess.run(
        spec.argv,
        env={**os.environ, **environment, **spec.env},
        capture_output=True,
        text=True,
        check=True,
    )

    taken, seen, inherited = done.stdout.splitlines()[0], done.stdout, done.stdout.splitlines()[-1]
    assert taken.endswith("'--api-key', 's3cret']")
    assert seen.count("s3cret") == 1
    assert KEY_VARIABLE not in inherited
