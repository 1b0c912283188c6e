"""WSL2: the passed-through driver, what Windows allows, slow drives, and how clients on Windows get in."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping

from localllm.checkup.checks.containers import is_inside
from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known
from localllm.checkup.place import Place
from localllm.hardware.host import is_wsl
from localllm.store.places import hub_cache
from localllm.units import GIB, MIB, size

_A = Area.WSL
_UNITS = {"kb": 1 << 10, "mb": MIB, "gb": GIB, "tb": 1 << 40, "": 1}
_LITTLE_BYTES = 12 * GIB
_EDIT = "notepad.exe \"$(cmd.exe /c echo %USERPROFILE% 2>/dev/null | tr -d '\\r')\\.wslconfig\""
_RESTART = f"{_EDIT}; wsl.exe --shutdown"


def check_wsl(known: Known) -> Iterator[Finding]:
    """How WSL2 is set up; nothing elsewhere."""
    place = known.place
    if not is_wsl(place.root, place.environment) or is_inside(place):
        return
    settings = read_wslconfig(place)
    found = [
        *_of_driver(place),
        *_of_memory(place, settings),
        *_of_network(settings),
        *_of_drives(place),
        *_of_idling(settings),
    ]
    yield from found
    if all(one.severity is Severity.NOTE for one in found):
        yield ok("wsl.set-up", _A, "WSL2 is set up well.")


def read_wslconfig(place: Place) -> Mapping[str, str]:
    """Read .wslconfig of the Windows user, names in small letters; nothing where there is none.

    Of several users' the one counts that is called as the Linux user, or else the only one.
    """
    files = place.lists("mnt/c/Users/*/.wslconfig")
    mine = [file for file in files if file.parent.name.lower() == place.user.lower()]
    chosen = mine or (files if len(files) == 1 else [])
    if not chosen:
        return {}
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read_string(chosen[0].read_text(encoding="utf-8-sig", errors="replace"))
    except (OSError, configparser.Error):
        return {}
    told: dict[str, str] = {}
    for section in ("wsl2", "general", "experimental"):
        if parser.has_section(section):
            told |= {k: (v or "").split("#")[0].strip() for k, v in parser.items(section)}
    return told


def parse_size(text: str) -> int | None:
    """Read "16GB" or "8000MB" into bytes. Source: learn.microsoft.com/windows/wsl/wsl-config."""
    found = re.fullmatch(r"(\d+)\s*([kmgt]?b?)", text.strip().lower())
    if found is None:
        return None
    unit = found[2] if found[2] in _UNITS else f"{found[2]}b"
    return int(found[1]) * _UNITS[unit]


def _of_driver(place: Place) -> Iterator[Finding]:
    if not place.exists("dev/dxg"):
        yield Finding(
            "wsl.no-gpu",
            _A,
            Severity.WARNING,
            "Windows passes no graphics card through (/dev/dxg is not there).",
            "models are computed by the processor; WSL1, an old WSL2 or gpuSupport=false do that",
            "wsl.exe --update && wsl.exe --shutdown",
        )
        return
    hides = place.lists("usr/lib/x86_64-linux-gnu/libcuda.so.[0-9][0-9][0-9].*")
    if hides and place.exists("usr/lib/wsl/lib/libcuda.so.1"):
        yield Finding(
            "wsl.two-drivers",
            _A,
            Severity.PROBLEM,
            "A Linux driver of NVIDIA's is installed beside the one that Windows passes through.",
            "its library hides the right one, and no card is found",
            "sudo apt purge 'libnvidia-compute-*' 'nvidia-driver-*' && sudo ldconfig",
        )


def _of_memory(place: Place, settings: Mapping[str, str]) -> Iterator[Finding]:
    stated = parse_size(settings.get("memory", ""))
    total = _total(place)
    if stated is not None or total is None:
        return
    if total < _LITTLE_BYTES:
        yield Finding(
            "wsl.memory",
            _A,
            Severity.NOTE,
            f"WSL2 has {size(total)} of memory: half of what Windows has, as nothing else is said.",
            "a model that does not fit the card whole needs it; [wsl2] memory=24GB in .wslconfig gives more",
            _RESTART,
        )


def _total(place: Place) -> int | None:
    found = re.search(r"^MemTotal:\s+(\d+) kB", place.read("proc/meminfo"), re.MULTILINE)
    return None if found is None else int(found[1]) * 1024


def _of_network(settings: Mapping[str, str]) -> Iterator[Finding]:
    mirrored = settings.get("networkingmode", "").lower() == "mirrored"
    if settings.get("localhostforwarding", "").lower() == "false" and not mirrored:
        yield Finding(
            "wsl.localhost",
            _A,
            Severity.WARNING,
            "localhostForwarding=false: programs on Windows do not reach what listens here.",
            "an editor or an agent on Windows asks 127.0.0.1 in vain",
            _RESTART,
        )


def _of_drives(place: Place) -> Iterator[Finding]:
    """Files of Windows come through a protocol at a tenth of the disk's speed."""
    models = str(hub_cache(place.environment))
    if re.match(r"/mnt/[a-z](/|\Z)", models):
        yield Finding(
            "wsl.slow-drive",
            _A,
            Severity.WARNING,
            f"Models are on a drive of Windows ({models}).",
            "reading them goes through a protocol (9p): loading takes minutes, and cannot be mapped well",
            "export HF_HUB_CACHE=$HOME/.cache/huggingface/hub",
        )


def _of_idling(settings: Mapping[str, str]) -> Iterator[Finding]:
    """Two times run out: the system's after 15 s, then the machine's after 60 s; -1 is never.

    Source: learn.microsoft.com/windows/wsl/wsl-config, github.com/MicrosoftDocs/WSL/pull/2621.
    """
    names = ("instanceidletimeout", "vmidletimeout")
    if any(settings.get(name) != "-1" for name in names):
        yield Finding(
            "wsl.idle",
            _A,
            Severity.NOTE,
            "Windows stops WSL2 soon after its last terminal is closed, the daemon with it.",
            "instanceIdleTimeout=-1 under [general] and vmIdleTimeout=-1 under [wsl2] in .wslconfig keep it running",
            _RESTART,
        )
