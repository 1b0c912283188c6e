"""The user's own llama-server: what it says of itself, and the command line it gets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from localllm.engines.base import NO_BACKTRACE, Endpoint, EngineDevice, Installed, Serving
from localllm.engines.llama_server import LlamaServer, parse_devices
from localllm.hardware.machine import DeviceKind
from tests.unit.engines.a_serving import CUDA, VULKAN, on_device, on_processor

MIB = 1 << 20
USAGE = """\
-fa,   --flash-attn [on|off|auto]       set Flash Attention use ('on', 'off', or 'auto')
-fit,  --fit [on|off]                   whether to adjust unset arguments to fit in device memory
-fitt, --fit-target MiB0,MiB1,MiB2,...
--offline                               Offline mode: forces use of cache, prevents network access
-ctxcp, --ctx-checkpoints, --swa-checkpoints N
-cram, --cache-ram N                    set the maximum cache size in MiB (default: 8192)
-kvu,  --kv-unified, -no-kvu, --no-kv-unified
-a,    --alias STRING                   set model name aliases, comma-separated
--host HOST                             ip address to listen, or bind to an UNIX socket
--ui,  --webui, --no-ui, --no-webui     whether to enable the Web UI (default: enabled)
--metrics                               enable prometheus compatible metrics endpoint
"""
VERSION = """\
version: 10434 (7e4c0a9)
built with GNU 11.4.0 for Linux x86_64
"""
LISTING = """\
Available devices:
  Vulkan0: llvmpipe (LLVM 15.0.6, 256 bits) (2048 MiB, 1024 MiB free)
"""


def print_out(text: str) -> str:
    return f"cat <<'END'\n{text}END\n"


def a_llama_server(
    folder: Path,
    name: str = "llama-server",
    *,
    usage: str = USAGE,
    version: str = VERSION,
    on_list_devices: str = print_out(LISTING),
) -> Path:
    """Write a program that answers as llama-server does."""
    file = folder / name
    file.write_text(f"""\
#!/bin/sh
case "$1" in
--help) {print_out(usage)};;
--version) {{ {print_out(version)}}} >&2 ;;
--list-devices) {on_list_devices};;
esac
""")
    file.chmod(0o755)
    return file


def find(folder: Path, program: str | None = None, **more: str) -> Installed:
    path = os.pathsep.join([str(folder), "/usr/bin", "/bin"])
    return LlamaServer(program, {"PATH": path, **more}).find()


def test_it_is_found_on_path_with_version_devices_and_abilities(tmp_path: Path) -> None:
    program = a_llama_server(tmp_path)

    found = find(tmp_path)

    assert (found.engine, found.version) == ("llama-server", "10434 (7e4c0a9)")
    assert found.program == (str(program),)
    assert [d.name for d in found.devices] == ["Vulkan0"]
    assert found.abilities >= {"unix_socket", "--fit", "--no-ui", "--kv-unified"}
    assert found.available


@pytest.mark.parametrize(
    ("more", "said"),
    [("--slot-save-path PATH   path to save slot kv cache\n", "--slot-save-path /p/"), ("", "")],
    ids=["able", "too old"],
)
def test_what_its_slots_hold_goes_into_a_folder_where_the_build_can(
    tmp_path: Path, more: str, said: str
) -> None:
    a_llama_server(tmp_path, usage=USAGE + more)
    found = find(tmp_path)

    argv = LlamaServer(None, {}).launch(found, on_processor(prefix_folder=Path("/p")), PORT).argv

    assert ("saves_slots" in found.abilities) is bool(more)
    assert said in " ".join(argv)
    assert ("--slot-save-path" in argv) is bool(more)
    assert "--slot-save-path" not in LlamaServer(None, {}).launch(found, on_processor(), PORT).argv


@pytest.mark.parametrize(
    ("said", "able"),
    [
        ("10434 (7e4c0a9)", False),
        ("11549 (7e4c0a9)", True),
        ("0.1.0-dev (build 11600, commit 7e4c0a9)", True),
        ("0.1.0-dev (build 1, commit 7e4c0a9)", False),
        ("unknown", False),
    ],
)
def test_its_build_tells_whether_checkpoints_are_saved(
    tmp_path: Path, said: str, able: bool
) -> None:
    a_llama_server(tmp_path, version=f"version: {said}\n")

    found = find(tmp_path)

    assert found.version == said
    assert ("saves_checkpoints" in found.abilities) is able


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("-ctxcp, --ctx-checkpoints, --swa-checkpoints N\n", "--ctx-checkpoints"),
        ("--swa-checkpoints N\n", "--swa-checkpoints"),
        ("", None),
    ],
)
@pytest.mark.parametrize("count", [0, 3])
def test_as_many_checkpoints_are_kept_as_are_planned_whatever_the_flag_is_called(
    tmp_path: Path, flags: str, said: str | None, count: int
) -> None:
    others = USAGE.replace("-ctxcp, --ctx-checkpoints, --swa-checkpoints N\n", "")
    a_llama_server(tmp_path, usage=others + flags)

    argv = LlamaServer(None, {}).launch(find(tmp_path), on_processor(checkpoints=count), PORT).argv

    told = [word for word in argv if word.startswith("--") and "checkpoints" in word]
    assert told == ([] if said is None else [said])
    assert said is None or argv[argv.index(said) + 1] == str(count)


def test_a_build_for_one_backend_is_found_under_its_own_name(tmp_path: Path) -> None:
    program = a_llama_server(tmp_path, "llama-server-vulkan")

    assert find(tmp_path).program == (str(program),)


@pytest.mark.parametrize("said", ["{folder}/mine", "~/mine", "mine"])
def test_the_configured_program_goes_before_the_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    a_llama_server(tmp_path)
    mine = a_llama_server(tmp_path, "mine")

    assert find(tmp_path, said.format(folder=tmp_path)).program == (str(mine),)


def test_it_is_asked_in_the_environment_that_it_will_run_in(tmp_path: Path) -> None:
    listing = 'echo "  CUDA0: $CUDA_VISIBLE_DEVICES (1 MiB, 1 MiB free)"\n'
    a_llama_server(tmp_path, on_list_devices=listing)

    found = find(tmp_path, CUDA_VISIBLE_DEVICES="GPU-1234")

    assert [d.description for d in found.devices] == ["GPU-1234"]


def test_none_on_path_is_said_and_is_no_error(tmp_path: Path) -> None:
    found = find(tmp_path)

    assert (found.available, found.program) == (False, ())
    assert found.reason == "no llama-server on PATH"


@pytest.mark.parametrize("there", [True, False])
def test_a_configured_program_that_cannot_be_executed_is_named(tmp_path: Path, there: bool) -> None:
    program = tmp_path / "mine"
    if there:
        a_llama_server(tmp_path, "mine").chmod(0o644)

    assert find(tmp_path, str(program)).reason == f"{program} is no program here"


def test_a_build_that_is_too_old_is_told_by_the_flags_it_lacks(tmp_path: Path) -> None:
    old = USAGE.replace("--kv-unified", "").replace("--cache-ram", "--cache-ram-x")
    program = a_llama_server(tmp_path, usage=old)

    assert find(tmp_path).reason == f"{program} is too old: it lacks --kv-unified, --cache-ram"


@pytest.mark.parametrize(
    ("crash", "reason"),
    [
        ("kill -ILL $$", "illegal instruction: this build needs instructions that this processor"),
        ("echo 'libcuda.so.1: not found' >&2; exit 127", "exited with 127: libcuda.so.1: not"),
    ],
)
def test_a_build_that_crashes_while_it_lists_devices_cannot_be_used(
    tmp_path: Path, crash: str, reason: str
) -> None:
    program = a_llama_server(tmp_path, on_list_devices=f"{crash}\n")

    found = find(tmp_path)

    assert found.reason is not None
    assert found.reason.startswith(f"{program}: ")
    assert reason in found.reason


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "  Vulkan0: llvmpipe (LLVM 15.0.6, 256 bits) (2048 MiB, 2047 MiB free)",
            ("Vulkan0", DeviceKind.VULKAN, "llvmpipe (LLVM 15.0.6, 256 bits)", 2048, 2047),
        ),
        (
            "  CUDA1: NVIDIA GeForce RTX 4090 (24081 MiB, 23676 MiB free)",
            ("CUDA1", DeviceKind.CUDA, "NVIDIA GeForce RTX 4090", 24081, 23676),
        ),
        (
            "  MTL0: Apple M2 Ultra (165150 MiB, 158091 MiB free)",
            ("MTL0", DeviceKind.METAL, "Apple M2 Ultra", 165150, 158091),
        ),
        (  # as builds of 2025 called it
            "  Metal: Apple M4 Max (98304 MiB, 98303 MiB free)",
            ("Metal", DeviceKind.METAL, "Apple M4 Max", 98304, 98303),
        ),
        (
            "  ROCm0: AMD Radeon RX 7900 XTX (24560 MiB, 24512 MiB free)",
            ("ROCm0", DeviceKind.ROCM, "AMD Radeon RX 7900 XTX", 24560, 24512),
        ),
        (
            "  SYCL0: Intel(R) Arc(TM) B580 Graphics (11605 MiB, 11605 MiB free)",
            ("SYCL0", DeviceKind.VULKAN, "Intel(R) Arc(TM) B580 Graphics", 11605, 11605),
        ),
    ],
)
def test_each_backends_line_is_read(
    line: str, expected: tuple[str, DeviceKind, str, int, int]
) -> None:
    name, kind, text, total, free = expected

    assert parse_devices(f"Available devices:\n{line}\n") == (
        EngineDevice(name, kind, text, total * MIB, free * MIB),
    )


def test_what_is_no_accelerator_in_a_listing_is_passed_over() -> None:
    listing = """\
ggml_metal_device_init: GPU name:   Apple M4 Max
ggml_vulkan: 0 = AMD Radeon Graphics (RADV GFX1151) (radv) | uma: 1 | fp16: 1 | bf16: 0
load_backend: loaded CPU backend from /opt/libggml-cpu-zen4.so
Available devices:
  (none)
  BLAS: Accelerate (0 MiB, 0 MiB free)
"""

    assert parse_devices(listing) == ()


BARE = Installed("llama-server", "1", ("/opt/llama-server",))
PORT = Endpoint(port=4242, key="s3cret")


def option(argv: Sequence[str], flag: str) -> str:
    assert list(argv).count(flag) == 1
    return argv[list(argv).index(flag) + 1]


def test_on_the_processor_every_size_is_said_and_no_device_may_be_used() -> None:
    spec = LlamaServer(None, {}).launch(BARE, on_processor(), PORT)

    assert spec.argv == [
        *("/opt/llama-server", "--model", "/models/my model.gguf", "--alias", "smol"),
        *("--host", "127.0.0.1", "--port", "4242"),
        *("--ctx-size", "8192", "--parallel", "4", "--kv-unified"),
        *("--cache-type-k", "f16", "--cache-type-v", "f16"),
        *("--batch-size", "2048", "--ubatch-size", "512", "--flash-attn", "on"),
        *("--threads", "6", "--cache-ram", "720"),
        *("--device", "none", "--gpu-layers", "0"),
        "--no-mmap",
        *("--log-verbosity", "4"),
    ]


@pytest.mark.parametrize(
    ("serving", "device", "layers", "environment"),
    [
        (on_processor(), "none", "0", {}),
        (on_device(VULKAN), "Vulkan0", "31", {}),
        (
            on_device(CUDA, uuids=("GPU-1",)),
            "CUDA0",
            "31",
            {"CUDA_VISIBLE_DEVICES": "GPU-1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        ),
    ],
)
def test_the_plans_device_gets_the_layers_and_cuda_knows_it_by_uuid(
    serving: Serving, device: str, layers: str, environment: dict[str, str]
) -> None:
    spec = LlamaServer(None, {}).launch(BARE, serving, Endpoint(port=1))

    assert option(spec.argv, "--device") == device
    assert option(spec.argv, "--gpu-layers") == layers
    assert spec.env == {**environment, **NO_BACKTRACE}


def test_the_key_goes_by_the_environment_and_is_in_no_process_list_or_log() -> None:
    spec = LlamaServer(None, {}).launch(BARE, on_processor(), PORT)

    assert spec.env == {"LLAMA_API_KEY": "s3cret", **NO_BACKTRACE}
    assert not any("s3cret" in word for word in spec.argv)
    assert "s3cret" not in repr(spec.endpoint)
    assert spec.endpoint.url == "http://127.0.0.1:4242"


def test_a_socket_takes_the_place_of_host_and_port() -> None:
    endpoint = Endpoint(socket=Path("/run/e.sock"))

    spec = LlamaServer(None, {}).launch(BARE, on_processor(), endpoint)

    assert option(spec.argv, "--host") == "/run/e.sock"
    assert "--port" not in spec.argv
    assert (spec.env, endpoint.url) == (NO_BACKTRACE, "http://localhost")


def test_a_flag_that_a_build_may_lack_is_given_only_where_its_help_has_it() -> None:
    able = Installed("llama-server", "1", ("ls",), abilities=frozenset({"--fit", "--no-ui", "-x"}))

    argv = LlamaServer(None, {}).launch(able, on_processor(), PORT).argv

    assert option(argv, "--fit") == "off"
    assert "--no-ui" in argv
    assert {"--offline", "--metrics", "--ctx-checkpoints"}.isdisjoint(argv)


@pytest.mark.parametrize(
    ("serving", "abilities", "said"),
    [
        (on_processor(), {"--load-mode"}, "--load-mode none"),
        (on_processor(), set[str](), "--no-mmap"),
        (on_device(VULKAN), {"--load-mode"}, ""),
    ],
)
def test_a_file_is_mapped_for_a_device_alone_since_repacked_weights_would_be_there_twice(
    serving: Serving, abilities: set[str], said: str
) -> None:
    build = Installed("llama-server", "1", ("ls",), abilities=frozenset(abilities))

    line = " ".join(LlamaServer(None, {}).launch(build, serving, PORT).argv)

    assert [w for w in ("--load-mode none", "--no-mmap") if w in line] == [said] * bool(said)


def test_loading_may_be_silent_for_longer_the_more_there_is_to_read() -> None:
    small, large = (
        LlamaServer(None, {}).launch(BARE, on_processor(file_bytes=size, silence_s=60.0), PORT)
        for size in (0, 50 * 1024 * MIB)
    )

    assert small.start_deadline_s == 60.0
    assert large.start_deadline_s == 60.0 + 1024.0
