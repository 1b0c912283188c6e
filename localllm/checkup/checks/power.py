"""What slows a computer down, or puts it to sleep in the middle of a long answer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known
from localllm.checkup.place import Place, read_text
from localllm.hardware.linux_vitals import read_throttle_count
from localllm.hardware.vitals import (
    SPEED_COMMAND,
    THERMAL_COMMAND,
    decide_throttled,
    parse_speed_limit,
    parse_thermal_level,
)

_A = Area.POWER
_LOGIND = ("etc/systemd/logind.conf", "usr/lib/systemd/logind.conf")
_GNOME = "org.gnome.settings-daemon.plugins.power"
_WATCHED_S = 0.2
"""For how long the processor's own count of its slowdowns is watched."""

_OWN_IDEA = frozenset({"intel_pstate", "amd-pstate-epp"})
"""Drivers for which the governor `powersave` means no more than that they decide themselves; in their
passive modes, intel_cpufreq and amd-pstate, it is the lowest frequency.

Source: Linux, Documentation/admin-guide/pm/intel_pstate.rst and amd-pstate.rst."""


def check_sleep(known: Known) -> Iterator[Finding]:
    """What puts the computer to sleep while it works."""
    place = known.place
    found = [*(_mac_sleep(place) if place.system == "darwin" else _linux_sleep(place))]
    yield from found
    if not found:
        yield ok("power.sleep", _A, "Nothing here puts the computer to sleep while it works.")


def _linux_sleep(place: Place) -> Iterator[Finding]:
    logind = read_logind(place)
    action = logind.get("IdleAction", "ignore")
    if action in {"suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate"}:
        yield Finding(
            "power.idle-sleep",
            _A,
            Severity.WARNING,
            f"systemd puts the computer to sleep when nobody types (IdleAction={action}).",
            "a long answer, a download or a night's run stops there",
            "printf '[Login]\\nIdleAction=ignore\\n' | sudo tee /etc/systemd/logind.conf.d/localllm.conf "
            "&& sudo systemctl reload systemd-logind",
        )
    yield from _gnome(place)
    if is_laptop(place) and logind.get("HandleLidSwitch", "suspend") == "suspend":
        yield Finding(
            "power.lid",
            _A,
            Severity.NOTE,
            "Closing the lid puts this laptop to sleep.",
            "what is being computed stops until it is opened",
            "systemd-inhibit --what=handle-lid-switch --why='a long run' sleep 8h",
        )


def read_logind(place: Place) -> dict[str, str]:
    """Read logind.conf and what is put over it, the last word counting."""
    told: dict[str, str] = {}
    files = [place.root / name for name in reversed(_LOGIND)]
    files += place.lists("etc/systemd/logind.conf.d/*.conf")
    for file in files:
        text = place.read(str(file.relative_to(place.root)))
        told |= dict(re.findall(r"^(\w+)=(\S+)", text, re.MULTILINE))
    return told


def _gnome(place: Place) -> Iterator[Finding]:
    """GNOME has its own idea, for mains and for battery."""
    if "gnome" not in place.environment.get("XDG_CURRENT_DESKTOP", "").lower():
        return
    action = place.ask(["gsettings", "get", _GNOME, "sleep-inactive-ac-type"]) or ""
    after = place.ask(["gsettings", "get", _GNOME, "sleep-inactive-ac-timeout"]) or ""
    if "suspend" in action and after.split()[-1:] != ["0"]:  # which means never, as on Ubuntu
        yield Finding(
            "power.idle-sleep",
            _A,
            Severity.WARNING,
            "GNOME puts the computer to sleep when nobody types, on mains too.",
            "a long answer, a download or a night's run stops there",
            f"gsettings set {_GNOME} sleep-inactive-ac-type nothing",
        )


def _mac_sleep(place: Place) -> Iterator[Finding]:
    told = place.ask(["/usr/bin/pmset", "-g"]) or ""
    found = re.search(r"^\s+sleep\s+(\d+)", told, re.MULTILINE)
    if found is not None and int(found[1]) > 0 and "prevented by" not in told:
        yield Finding(
            "power.idle-sleep",
            _A,
            Severity.WARNING,
            f"macOS goes to sleep after {found[1]} minutes without input.",
            "a long answer, a download or a night's run stops there",
            "caffeinate -i",
        )


def check_speed(known: Known) -> Iterator[Finding]:
    """What the processor may do, and whether it is hot."""
    place = known.place
    found = [*(_mac_speed(place) if place.system == "darwin" else _linux_speed(place))]
    yield from found
    if not found:
        yield ok("power.speed", _A, "Nothing holds the processor back.")


def _linux_speed(place: Place) -> Iterator[Finding]:
    before = read_throttle_count(place.root)
    cpu = "sys/devices/system/cpu/cpu0/cpufreq"
    governor = place.read(f"{cpu}/scaling_governor").strip()
    driver = place.read(f"{cpu}/scaling_driver").strip()
    preference = place.read(f"{cpu}/energy_performance_preference").strip()
    profile = place.read("sys/firmware/acpi/platform_profile").strip()
    saves = governor == "powersave" and driver not in _OWN_IDEA
    if saves or preference == "power" or profile in {"low-power", "quiet"}:
        stated = f"governor {governor}" if saves else (preference and f"preference {preference}")
        yield Finding(
            "power.saving",
            _A,
            Severity.NOTE,
            f"The processor saves power ({stated or f'profile {profile}'}).",
            "what it computes of a model takes up to twice as long",
            _full_speed(place, saves=saves),
        )
    if is_on_battery(place):
        yield Finding(
            "power.battery",
            _A,
            Severity.NOTE,
            "This laptop runs on its battery.",
            "cards and processors are slowed down, mostly to less than half",
        )
    if before is not None:
        time.sleep(_WATCHED_S)
        throttled = decide_throttled(before, read_throttle_count(place.root))
        if throttled is not None:
            yield _hot(throttled)


def _full_speed(place: Place, *, saves: bool) -> str:
    if place.exists("usr/bin/powerprofilesctl"):
        return "powerprofilesctl set performance"
    knob = "scaling_governor" if saves else "energy_performance_preference"
    return f"echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/{knob}"


def _mac_speed(place: Place) -> Iterator[Finding]:
    level = parse_thermal_level(place.ask(THERMAL_COMMAND) or "")
    throttled = level or parse_speed_limit(place.ask(SPEED_COMMAND) or "")
    if throttled is not None:
        yield _hot(throttled)


def _hot(why: str) -> Finding:
    return Finding(
        "power.hot",
        _A,
        Severity.WARNING,
        "The processor is slowed down, since it is hot.",
        f"{why}; dust, a blanket, or a card that blows at it",
        "sensors" if "pressure" not in why else "sudo powermetrics -n 1 --samplers smc",
    )


def is_laptop(place: Place) -> bool:
    """Whether it has a battery that drives it; those of mice and keyboards have the scope `Device`."""
    return any(
        _word(folder / "type") == "Battery" and _word(folder / "scope") != "Device"
        for folder in place.lists("sys/class/power_supply/*")
    )


def is_on_battery(place: Place) -> bool:
    """Whether it has a battery, and no plug that gives power."""
    supplies = place.lists("sys/class/power_supply/*")
    online = [_word(one / "online") for one in supplies if _word(one / "type") in {"Mains", "USB"}]
    return is_laptop(place) and bool(online) and "1" not in online


def _word(file: Path) -> str:
    return read_text(file).strip()
