"""Launchers of serving engines that the user has installed: what vLLM and SGLang have in common.

Both are Python programs around PyTorch. On which devices one can compute is asked of the PyTorch
that it runs with; which flags it takes, of its own help. Nothing here installs them.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from localllm.engines.base import EngineDevice, Installed, Serving, start_deadline_s
from localllm.engines.query import Answer, ask
from localllm.errors import EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.machine import DeviceKind

_TIMEOUT_S = 90.0
"""PyTorch alone takes many seconds to import from a cold disk."""

_COMPILES_S = 600.0
"""Kernels are compiled and graphs captured, with little to be seen, before the first answer."""

PRIVATE = {"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
"""The model is a folder here: nothing is to be told to anybody, or asked of a hub."""

_DEVICES = """\
import sys
sys.path[:] = [p for p in sys.path if p]  # never code from the working directory
import importlib.metadata, json, torch
version = importlib.metadata.version(sys.argv[1])
backend, devices = "ROCm" if torch.version.hip else "CUDA", []
for i in range(torch.cuda.device_count()):
    free, total = torch.cuda.mem_get_info(i)
    told = torch.cuda.get_device_name(i)
    devices.append({"name": f"{backend}{i}", "description": told, "total": total, "free": free})
print(json.dumps({"version": version, "devices": devices}))
"""
_OPTION = re.compile(r"^ {2}(-\S.*?)(?: {2}|$)", re.MULTILINE)
_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
_START_BYTES = 1 << 10


class _SeenDevice(msgspec.Struct):
    name: str
    description: str
    total: int
    free: int


class _Seen(msgspec.Struct):
    version: str
    devices: tuple[_SeenDevice, ...]


@dataclass(frozen=True, slots=True)
class Launcher:
    """What one of these engines is started by, and how it is asked."""

    engine: str
    """Its package's name, and its program's on PATH."""

    command: Callable[[str, str], Sequence[str]]
    """The start of a command line that serves, from the launcher's path and its Python's."""

    help: Sequence[str]
    """What to add to it for all flags."""

    required: Sequence[str]
    """Flags without which the plan cannot be kept."""


def find_launcher(launcher: Launcher, environment: Mapping[str, str]) -> Installed:
    """Look for the engine on PATH, and ask it what it can use and which flags it takes."""
    found = Installed(launcher.engine, None, (), formats=frozenset({Format.SAFETENSORS}))
    path = shutil.which(launcher.engine, path=environment.get("PATH"))
    if path is None:
        return replace(found, reason=f"no {launcher.engine} on PATH")
    interpreter = read_interpreter(path)
    if interpreter is None:
        return replace(found, origin=path, reason=f"{path} is no script of Python's")
    found = replace(found, program=launcher.command(path, interpreter), origin=path)
    return _inspect(launcher, found, interpreter, environment)


def read_interpreter(program: str) -> str | None:
    """Read from a script which Python runs it; None: it is no script of Python's.

    Installers write `#!/path/python`, or where the path is long or has spaces, a shell's line
    that ends in `'''exec' /path/python "$0" "$@"`.
    """
    try:
        with Path(program).open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError:
        return None
    if not start.startswith(b"#!"):
        return None
    first, _, rest = start.decode(errors="replace").partition("\n")
    said = rest.partition("\n")[0] if rest.startswith("'''exec'") else first[2:]
    try:
        words = shlex.split(said)
    except ValueError:
        return None
    return next((word for word in words if Path(word).name.startswith("python")), None)


def parse_flags(usage: str) -> frozenset[str]:
    """Read the flags out of a help; those that its descriptions only mention are none."""
    return frozenset(flag for line in _OPTION.findall(usage) for flag in _FLAG.findall(line))


def quiet_s(serving: Serving) -> float:
    """How long a start may show no progress: loading, and then compiling."""
    return start_deadline_s(serving) + _COMPILES_S


def free_share(serving: Serving) -> float | None:
    """The share of every device that the engine may take; None where the memory is not known.

    It takes all of its share at once, so that more than is free would end it at the start.
    """
    shares = [
        device.memory_free / device.memory_total
        for device in serving.devices
        if device.memory_free is not None and device.memory_total
    ]
    if not shares or len(shares) < len(serving.devices):
        return None
    return int(min(shares) * 95) / 100


def kv_type_of(serving: Serving, engine: str, names: Mapping[str, str]) -> str:
    """Say the plan's type of cache in the engine's words.

    Raises:
        EngineUnusable: The engine has no such type.
    """
    if serving.kv_type in names:
        return names[serving.kv_type]
    raise EngineUnusable(
        f"{engine} cannot keep its cache as {serving.kv_type}.",
        why=f"of the types that localllm plans with it has {', '.join(names)}",
        fix="choose one of these as kv_type, or another engine",
    )


def _inspect(
    launcher: Launcher, found: Installed, interpreter: str, environment: Mapping[str, str]
) -> Installed:
    questions = (
        (interpreter, "-c", _DEVICES, launcher.engine),
        (*found.program, *launcher.help),
    )
    with ThreadPoolExecutor(len(questions)) as pool:
        told, usage = pool.map(lambda q: ask(q, environment, _TIMEOUT_S), questions)
    seen = _seen(told)
    if isinstance(seen, str):
        return replace(found, reason=seen)
    flags = parse_flags(usage.text)
    return replace(
        found,
        version=seen.version,
        devices=tuple(map(_engine_device, seen.devices)),
        abilities=flags | ({"unix_socket"} if "--uds" in flags else set()),
        reason=_why_not(launcher, found, seen, usage),
    )


def _seen(answer: Answer) -> _Seen | str:
    """What PyTorch told, or why it did not."""
    if answer.failure is not None:
        return answer.failure
    try:
        return msgspec.json.decode(answer.last_line, type=_Seen)
    except msgspec.DecodeError as error:
        return f"its device list is unreadable: {error}"


def _engine_device(seen: _SeenDevice) -> EngineDevice:
    kind = DeviceKind.ROCM if seen.name.startswith("ROCm") else DeviceKind.CUDA
    return EngineDevice(seen.name, kind, seen.description, seen.total, seen.free)


def _why_not(launcher: Launcher, found: Installed, seen: _Seen, usage: Answer) -> str | None:
    if not seen.devices:
        return f"the PyTorch of {found.origin} sees no GPU"
    if usage.failure is not None:
        return usage.failure
    missing = [flag for flag in launcher.required if flag not in parse_flags(usage.text)]
    return f"{found.origin} is too old: it lacks {', '.join(missing)}" if missing else None
