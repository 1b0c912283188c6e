"""The user's own vLLM: how it is found, and the command line it gets, against its recorded help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localllm.engines.base import Endpoint, EngineDevice, Installed, LaunchSpec, Sampling, Serving
from localllm.engines.serving_launchers import parse_flags, read_interpreter
from localllm.engines.vllm import Vllm
from localllm.errors import EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.machine import DeviceKind
from tests.unit.engines.a_serving import on_processor

HELP = Path(__file__).parents[2] / "data" / "engine_help" / "vllm-serve.txt"
FLAGS = parse_flags(HELP.read_text())
PORT = Endpoint(port=4242, key="s3cret")
GIB = 1 << 30


def a_card(number: int, *, free: int | None = 23 * GIB) -> EngineDevice:
    name = "NVIDIA GeForce RTX 4090"
    return EngineDevice(f"CUDA{number}", DeviceKind.CUDA, name, 24 * GIB, free)


def on_cards(*cards: EngineDevice, **more: object) -> Serving:
    plain: dict[str, object] = {"model_file": Path("/models/Qwen3 8B AWQ"), "devices": cards}
    return on_processor(**{**plain, **more})


def launch(serving: Serving, endpoint: Endpoint, flags: frozenset[str] = FLAGS) -> LaunchSpec:
    found = Installed("vllm", "0.33.0", ("/opt/vllm", "serve"), abilities=flags)
    return Vllm({}).launch(found, serving, endpoint)


def install(folder: Path, *, cards: int = 2, usage: str | None = None) -> dict[str, str]:
    """Put a launcher on PATH that answers with the recorded help, and a PyTorch with its cards.

    Returns:
        The environment in which both are found.
    """
    packages, programs = folder / "packages", folder / "bin"
    for each in (packages, programs, packages / "vllm-0.33.0.dist-info"):
        each.mkdir()
    (packages / "vllm-0.33.0.dist-info" / "METADATA").write_text("Name: vllm\nVersion: 0.33.0\n")
    (packages / "torch.py").write_text(f"""\
from types import SimpleNamespace
print("a warning that libraries print")
version = SimpleNamespace(hip=None)
cuda = SimpleNamespace(
    device_count=lambda: {cards},
    mem_get_info=lambda i: (20 + i, 24),
    get_device_name=lambda i: "NVIDIA GeForce RTX 4090",
)
""")
    text = HELP.read_text() if usage is None else usage
    program = programs / "vllm"
    program.write_text(f"#!{sys.executable}\nprint({text!r})\n")
    program.chmod(0o755)
    return {"PATH": str(programs), "PYTHONPATH": str(packages)}


def test_it_is_found_on_path_with_version_cards_and_flags(tmp_path: Path) -> None:
    environment = install(tmp_path)

    found = Vllm(environment).find()

    path = str(tmp_path / "bin" / "vllm")
    assert (found.reason, found.version, found.origin) == (None, "0.33.0", path)
    assert found.program == (path, "serve")
    assert found.formats == {Format.SAFETENSORS}
    assert found.abilities >= {"--uds", "--max-model-len", "unix_socket"}
    assert found.devices == (
        EngineDevice("CUDA0", DeviceKind.CUDA, "NVIDIA GeForce RTX 4090", 24, 20),
        EngineDevice("CUDA1", DeviceKind.CUDA, "NVIDIA GeForce RTX 4090", 24, 21),
    )


def test_none_on_path_is_said_and_is_no_error(tmp_path: Path) -> None:
    found = Vllm({"PATH": str(tmp_path)}).find()

    assert (found.program, found.reason) == ((), "no vllm on PATH")
    assert found.formats == {Format.SAFETENSORS}


def test_an_environment_without_pytorch_cannot_serve_and_says_so(tmp_path: Path) -> None:
    environment = install(tmp_path)
    (tmp_path / "packages" / "torch.py").unlink()

    reason = Vllm(environment).find().reason

    assert reason is not None
    assert "No module named 'torch'" in reason


def test_without_a_gpu_it_is_unusable_rather_than_slow(tmp_path: Path) -> None:
    environment = install(tmp_path, cards=0)

    reason = Vllm(environment).find().reason

    assert reason == f"the PyTorch of {tmp_path}/bin/vllm sees no GPU"


def test_a_release_that_is_too_old_is_told_by_the_flags_it_lacks(tmp_path: Path) -> None:
    """Nor does it have a flag that another's description mentions."""
    usage = HELP.read_text().replace("  --max-num-seqs", "  --seqs  unlike --max-num-seqs,")
    environment = install(tmp_path, usage=usage)

    reason = Vllm(environment).find().reason

    assert reason == f"{tmp_path}/bin/vllm is too old: it lacks --max-num-seqs"


def test_pytorch_is_never_imported_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = install(tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    (here / "torch.py").write_text("raise SystemExit('code from the working directory')")
    monkeypatch.chdir(here)

    assert Vllm(environment).find().reason is None


@pytest.mark.parametrize(
    ("text", "interpreter"),
    [
        ("#!/opt/venv/bin/python3.12\nimport vllm\n", "/opt/venv/bin/python3.12"),
        ("#!/usr/bin/env python3\n", "python3"),
        (
            '#!/bin/sh\n\'\'\'exec\' "/opt/my venv/bin/python" "$0" "$@"\n',
            "/opt/my venv/bin/python",
        ),
        (
            "#!/bin/sh\n'''exec' '/opt/my venv/bin/python' \"$0\" \"$@\"\n",
            "/opt/my venv/bin/python",
        ),
        ("#!/bin/sh\nexec vllm-in-a-container\n", None),
        ("#!/bin/sh 'unclosed\n", None),
        ("\x7fELF", None),
        ("", None),
    ],
)
def test_a_script_tells_which_python_runs_it(
    tmp_path: Path, text: str, interpreter: str | None
) -> None:
    script = tmp_path / "vllm"
    script.write_text(text)

    assert read_interpreter(str(script)) == interpreter


def test_every_size_of_the_plan_is_on_the_command_line() -> None:
    spec = launch(on_cards(a_card(0), a_card(1)), PORT, frozenset())

    assert spec.argv == [
        *("/opt/vllm", "serve", "/models/Qwen3 8B AWQ", "--served-model-name", "smol"),
        *("--host", "127.0.0.1", "--port", "4242"),
        *("--max-model-len", "8192", "--max-num-seqs", "4", "--kv-cache-dtype", "auto"),
        *("--tensor-parallel-size", "2", "--gpu-memory-utilization", "0.91"),
    ]


@pytest.mark.parametrize(
    ("serving", "endpoint"),
    [
        (on_cards(a_card(0)), PORT),
        (on_cards(a_card(0), a_card(1), kv_type="q8_0"), Endpoint(socket=Path("/run/e.sock"))),
        (on_cards(a_card(0), sampling=Sampling(0.6, 0.95, 20, 0.0)), PORT),
    ],
)
def test_every_flag_is_in_the_recorded_help(serving: Serving, endpoint: Endpoint) -> None:
    flags = {word for word in launch(serving, endpoint).argv if word.startswith("-")}

    assert flags - FLAGS == set()


def test_nobody_elses_code_is_trusted_and_no_prompt_is_logged() -> None:
    argv = launch(on_cards(a_card(0)), PORT).argv

    assert "--trust-remote-code" not in argv
    assert {"--disable-log-requests", "--disable-uvicorn-access-log"} <= set(argv)


def test_the_key_goes_by_the_environment_and_is_in_no_process_list() -> None:
    spec = launch(on_cards(a_card(0)), PORT)

    assert spec.env["VLLM_API_KEY"] == "s3cret"
    assert not any("s3cret" in word for word in spec.argv)


def test_a_socket_takes_the_place_of_host_port_and_key() -> None:
    spec = launch(on_cards(a_card(0)), Endpoint(socket=Path("/run/e.sock")))

    assert spec.argv[spec.argv.index("--uds") + 1] == "/run/e.sock"
    assert {"--host", "--port"}.isdisjoint(spec.argv)
    assert "VLLM_API_KEY" not in spec.env


def test_nothing_is_told_to_anybody_and_only_the_plans_cards_are_shown() -> None:
    spec = launch(on_cards(a_card(0), uuids=("GPU-1",)), Endpoint(socket=Path("/run/e.sock")))

    assert spec.env == {
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "GPU-1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


@pytest.mark.parametrize(("kv_type", "said"), [("f16", "auto"), ("q8_0", "fp8")])
def test_a_smaller_cache_is_said_in_its_own_words(kv_type: str, said: str) -> None:
    argv = launch(on_cards(a_card(0), kv_type=kv_type), PORT).argv

    assert argv[argv.index("--kv-cache-dtype") + 1] == said


def test_a_cache_that_it_does_not_have_is_refused_rather_than_replaced_by_a_larger_one() -> None:
    with pytest.raises(EngineUnusable, match="q4_0"):
        launch(on_cards(a_card(0), kv_type="q4_0"), PORT)


def test_the_share_of_memory_is_left_to_it_where_nobody_knows_what_is_free() -> None:
    argv = launch(on_cards(a_card(0), a_card(1, free=None)), PORT).argv

    assert "--gpu-memory-utilization" not in argv


def test_the_fullest_card_bounds_what_it_takes_of_all() -> None:
    argv = launch(on_cards(a_card(0), a_card(1, free=12 * GIB)), PORT).argv

    assert argv[argv.index("--gpu-memory-utilization") + 1] == "0.47"


def test_sampling_is_a_default_of_requests_and_what_is_not_said_is_left_to_the_model() -> None:
    argv = launch(on_cards(a_card(0), sampling=Sampling(temperature=0.6, top_k=20)), PORT).argv

    said = argv[argv.index("--override-generation-config") + 1]
    assert json.loads(said) == {"temperature": 0.6, "top_k": 20}
    assert "--override-generation-config" not in launch(on_cards(a_card(0)), PORT).argv


def test_the_launch_line_starts_the_program_that_was_found(tmp_path: Path) -> None:
    environment = install(tmp_path, usage="served")
    engine = Vllm(environment)

    spec = engine.launch(engine.find(), on_cards(a_card(0)), PORT)
    done = subprocess.run(
        spec.argv, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )

    assert done.stdout == "served\n"
