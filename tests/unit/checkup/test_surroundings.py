"""Settings, rights, WSL2, containers, sleep, speed, terminals, the service."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.checkup.checks import files, power
from localllm.checkup.checks.configuration import check_settings
from localllm.checkup.checks.containers import check_container
from localllm.checkup.checks.files import check_rights
from localllm.checkup.checks.power import check_sleep, check_speed
from localllm.checkup.checks.service import judge
from localllm.checkup.checks.terminal import check_terminal
from localllm.checkup.checks.wsl import check_wsl, parse_size
from localllm.checkup.finding import Severity
from localllm.checkup.place import Place
from localllm.checkup.repairs import RenewService, SetMode
from localllm.service.view import ServiceView
from localllm.units import GIB, MIB
from tests.unit.checkup.a_place import a_known, a_place, bad, by_id, only


def own(place: Place) -> Place:
    """As the one who runs the tests, who owns the files that they make."""
    return replace(place, user_id=place.paths.state.stat().st_uid or 0)


def test_a_mistake_in_the_settings_is_told_with_its_place(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.config_file.write_text("port = 11711\n[supervision]\nmax_crashs = 3\n")

    found = only(check_settings(a_known(place)))

    assert (found.id, found.severity, found.fix) == (
        "settings.wrong",
        Severity.PROBLEM,
        "localllm config check",
    )
    assert f"{place.paths.config_file}:3:1" in found.what


def test_a_variable_with_a_typo_is_told_with_the_right_name(tmp_path: Path) -> None:
    place = a_place(tmp_path, environment={"LOCALLLM_PROT": "1", "LOCALLLM_HOME": "/x"})

    found = only(check_settings(a_known(place)))

    assert (found.what, found.why) == (
        "The variable LOCALLLM_PROT means nothing to localllm.",
        "LOCALLLM_PORT is the nearest that does",
    )


def test_settings_that_are_right_are_in_order(tmp_path: Path) -> None:
    place = a_place(tmp_path, environment={"LOCALLLM_PORT": "1234"})
    assert bad(check_settings(a_known(place))) == []
    place.paths.config_file.write_text("port = 11712\n")
    assert bad(check_settings(a_known(place))) == []


@pytest.mark.parametrize(
    ("name", "mode", "wanted"),
    [("daemon.json", 0o644, 0o600), ("keys.json", 0o640, 0o600), ("prefix.key", 0o604, 0o600)],
)
def test_a_secret_file_that_others_may_open_is_a_problem_and_can_be_mended(
    tmp_path: Path, name: str, mode: int, wanted: int
) -> None:
    place = own(a_place(tmp_path))
    file = place.paths.state / name
    file.touch()
    file.chmod(mode)

    found = next(one for one in check_rights(a_known(place)) if one.id == "files.too-open")

    assert (found.severity, found.repair) == (Severity.PROBLEM, SetMode(file, wanted))
    assert found.fix == f"chmod {wanted:o} {file}"


def test_a_state_folder_that_others_may_enter_is_a_problem(tmp_path: Path) -> None:
    place = own(a_place(tmp_path))
    place.paths.state.chmod(0o755)

    found = next(one for one in check_rights(a_known(place)) if one.id == "files.too-open")

    assert found.repair == SetMode(place.paths.state, 0o700)


def test_settings_that_others_may_write_are_a_problem(tmp_path: Path) -> None:
    place = own(a_place(tmp_path))
    place.paths.config_file.touch()
    place.paths.config_file.chmod(0o666)

    found = next(one for one in check_rights(a_known(place)) if one.id == "files.others-write")

    assert found.repair == SetMode(place.paths.config_file, 0o644)


@pytest.mark.parametrize(("group", "is_bad"), [("dev", False), ("staff", True)])
def test_a_group_of_the_users_own_is_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, *, is_bad: bool
) -> None:
    monkeypatch.setattr(files, "group_name", lambda _: group)
    place = own(a_place(tmp_path))
    place.paths.config.chmod(0o775)

    assert ("files.others-write" in bad(check_rights(a_known(place)))) is is_bad


def test_files_of_another_user_need_sudo_and_are_not_mended(tmp_path: Path) -> None:
    place = a_place(tmp_path)  # its user is not the one who made the files
    found = by_id(check_rights(a_known(replace(place, user_id=4711))))["files.foreign"]

    assert (found.fix or "").startswith("sudo chown -R dev ")
    assert found.repair is None


def test_roots_doctor_gives_no_file_of_a_users_to_root(tmp_path: Path) -> None:
    """On a Mac, sudo keeps the home: all that is in it would be somebody else's."""
    place = a_place(tmp_path)
    place.paths.config_file.touch()
    if os.geteuid() == 0:
        os.chown(place.paths.config_file, 1000, 1000)

    assert "files.foreign" not in bad(check_rights(a_known(replace(place, user_id=0))))


WSL = {
    "proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2\n",
    "dev/dxg": "",
    "proc/meminfo": "MemTotal: 8000000 kB\n",
}
NOTHING_TO_SAY = "[general]\ninstanceIdleTimeout=-1\n[wsl2]\nmemory=24GB\nvmIdleTimeout=-1\n"


def wsl(tmp_path: Path, settings: str, **more: object) -> Place:
    return a_place(tmp_path, {**WSL, "mnt/c/Users/Dev/.wslconfig": settings, **more})  # type: ignore[arg-type]


def test_wsl_that_is_set_up_well_is_in_order(tmp_path: Path) -> None:
    assert bad(check_wsl(a_known(wsl(tmp_path, NOTHING_TO_SAY)))) == []


def test_a_container_on_wsl_cannot_change_it(tmp_path: Path) -> None:
    assert list(check_wsl(a_known(wsl(tmp_path, "", **{".dockerenv": ""})))) == []


def test_outside_of_wsl_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert list(check_wsl(a_known(a_place(tmp_path)))) == []


@pytest.mark.parametrize(
    ("settings", "id_"),
    [
        ("[wsl2]\nvmIdleTimeout=-1\n", "wsl.memory"),
        ("[wsl2]\nmemory=24GB\n", "wsl.idle"),
        ("[wsl2]\nmemory=24GB\nvmIdleTimeout=-1\n", "wsl.idle"),
        (f"{NOTHING_TO_SAY}localhostForwarding=false # why not\n", "wsl.localhost"),
        ("not an ini file at all", "wsl.memory"),
    ],
)
def test_what_wslconfig_says_or_not_is_told(tmp_path: Path, settings: str, id_: str) -> None:
    assert id_ in bad(check_wsl(a_known(wsl(tmp_path, settings))))


def test_models_on_a_drive_of_windows_are_slow(tmp_path: Path) -> None:
    place = wsl(tmp_path, NOTHING_TO_SAY)
    place = replace(place, environment={"HF_HUB_CACHE": "/mnt/d/models"})

    assert bad(check_wsl(a_known(place))) == ["wsl.slow-drive"]


def test_a_linux_driver_beside_the_one_of_windows_is_a_problem(tmp_path: Path) -> None:
    both = {
        "usr/lib/wsl/lib/libcuda.so.1": "",
        "usr/lib/x86_64-linux-gnu/libcuda.so.570.86.16": "",
    }

    assert bad(check_wsl(a_known(wsl(tmp_path, NOTHING_TO_SAY, **both)))) == ["wsl.two-drivers"]


def test_windows_that_passes_no_card_is_a_warning(tmp_path: Path) -> None:
    place = wsl(tmp_path, NOTHING_TO_SAY)
    (place.root / "dev/dxg").unlink()
    place = replace(place, environment={"WSL_DISTRO_NAME": "Ubuntu"})

    assert bad(check_wsl(a_known(place))) == ["wsl.no-gpu"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("16GB", 16 * GIB),
        ("8000MB", 8000 * MIB),
        ("6G", 6 * GIB),
        ("4 gb", 4 * GIB),
        ("lots", None),
    ],
)
def test_sizes_are_read_as_windows_writes_them(text: str, count: int | None) -> None:
    assert parse_size(text) == count


DOCKER = {".dockerenv": "", "proc/1/comm": "tini\n"}


@pytest.mark.parametrize(
    ("kind", "fix"),
    [
        ({".dockerenv": ""}, "docker run --gpus all ..."),
        ({"run/.containerenv": ""}, "podman run --device nvidia.com/gpu=all ..."),
        ({"run/systemd/container": "lxc\n"}, None),
    ],
)
def test_a_container_without_the_hosts_card_is_a_warning(
    tmp_path: Path, kind: dict[str, str], fix: str | None
) -> None:
    """Whoever started it may have meant that."""
    files = {**kind, "proc/1/comm": "tini\n", "proc/driver/nvidia/version": "x"}

    found = only(check_container(a_known(a_place(tmp_path, files))))

    assert (found.id, found.severity) == ("container.no-gpu", Severity.WARNING)
    assert found.fix == fix


def test_a_container_without_an_init_is_noted_once_that_does_harm(tmp_path: Path) -> None:
    place = a_place(tmp_path, {**DOCKER, "proc/1/comm": "python3\n"})
    assert bad(check_container(a_known(place))) == []

    for pid in range(70, 80):
        dead = place.root / f"proc/{pid}/stat"
        dead.parent.mkdir()
        dead.write_text(f"{pid} (a (b) c) Z 1 77 77 0\n")

    assert only(check_container(a_known(place))).what == (
        "The first process of this container is python3, which is no init."
    )


def test_a_container_that_has_what_it_needs_is_in_order(tmp_path: Path) -> None:
    assert bad(check_container(a_known(a_place(tmp_path, DOCKER)))) == []
    assert list(check_container(a_known(a_place(tmp_path / "host")))) == []


BATTERY = {
    "sys/class/power_supply/BAT0/type": "Battery\n",
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/power_supply/AC/online": "1\n",
}
MOUSE = {
    "sys/class/power_supply/hidpp_battery_0/type": "Battery\n",
    "sys/class/power_supply/hidpp_battery_0/scope": "Device\n",
}


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        ({}, []),
        ({"etc/systemd/logind.conf": "[Login]\nIdleAction=suspend\n"}, ["power.idle-sleep"]),
        (
            {
                "etc/systemd/logind.conf": "[Login]\nIdleAction=suspend\n",
                "etc/systemd/logind.conf.d/a.conf": "[Login]\nIdleAction=ignore\n",
            },
            [],
        ),
        ({"etc/systemd/logind.conf": "[Login]\n#IdleAction=suspend\n"}, []),
        (BATTERY, ["power.lid"]),
        ({**BATTERY, "etc/systemd/logind.conf": "[Login]\nHandleLidSwitch=ignore\n"}, []),
        (MOUSE, []),
    ],
)
def test_what_puts_a_computer_to_sleep_is_told(
    tmp_path: Path, files: dict[str, str], ids: list[str]
) -> None:
    assert bad(check_sleep(a_known(a_place(tmp_path, files)))) == ids


def test_gnome_is_asked_on_its_own_desktop_alone(tmp_path: Path) -> None:
    gnome = {"XDG_CURRENT_DESKTOP": "ubuntu:GNOME"}
    said = {"sleep-inactive-ac-type": "'suspend'\n", "sleep-inactive-ac-timeout": "3600\n"}
    place = a_place(tmp_path, ask=lambda words: said[words[-1]], environment=gnome)

    found = only(check_sleep(a_known(place)))

    assert (found.fix or "").startswith("gsettings set ")
    assert bad(check_sleep(a_known(replace(place, environment={})))) == []
    said["sleep-inactive-ac-timeout"] = "dconf-WARNING **: no session\n0\n"
    assert bad(check_sleep(a_known(place))) == [], "0 is never, as on Ubuntu"


@pytest.mark.parametrize(
    ("told", "ids"),
    [
        (" sleep                10\n", ["power.idle-sleep"]),
        (" sleep                10 (sleep prevented by caffeinate)\n", []),
        (" sleep                0\n", []),
        (None, []),
    ],
)
def test_macos_is_asked_for_its_sleep(tmp_path: Path, told: str | None, ids: list[str]) -> None:
    place = a_place(tmp_path, system="darwin", ask=lambda _: told)

    assert bad(check_sleep(a_known(place))) == ids


CPU = "sys/devices/system/cpu/cpu0/cpufreq"


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        (
            {f"{CPU}/scaling_governor": "powersave", f"{CPU}/scaling_driver": "acpi-cpufreq"},
            ["power.saving"],
        ),
        ({f"{CPU}/scaling_governor": "powersave", f"{CPU}/scaling_driver": "intel_pstate"}, []),
        (
            {f"{CPU}/scaling_governor": "powersave", f"{CPU}/scaling_driver": "amd-pstate-epp"},
            [],
        ),
        (
            {f"{CPU}/scaling_governor": "powersave", f"{CPU}/scaling_driver": "amd-pstate"},
            ["power.saving"],
        ),
        ({f"{CPU}/energy_performance_preference": "power\n"}, ["power.saving"]),
        ({"sys/firmware/acpi/platform_profile": "low-power\n"}, ["power.saving"]),
        ({**BATTERY, "sys/class/power_supply/AC/online": "0\n"}, ["power.battery"]),
        ({**BATTERY}, []),
    ],
)
def test_what_holds_a_processor_back_is_told(
    tmp_path: Path, files: dict[str, str], ids: list[str]
) -> None:
    assert bad(check_speed(a_known(a_place(tmp_path, files)))) == ids


@pytest.mark.parametrize(
    ("files", "fix"),
    [
        ({"usr/bin/powerprofilesctl": ""}, "powerprofilesctl set performance"),
        ({}, "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"),
    ],
)
def test_a_processor_is_sped_up_with_what_is_there(
    tmp_path: Path, files: dict[str, str], fix: str
) -> None:
    slow = {f"{CPU}/scaling_governor": "powersave", f"{CPU}/scaling_driver": "acpi-cpufreq"}

    assert only(check_speed(a_known(a_place(tmp_path, {**slow, **files})))).fix == fix


def test_a_hot_processor_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([5, 9])
    monkeypatch.setattr(power, "read_throttle_count", lambda _: next(counts))
    monkeypatch.setattr(power, "_WATCHED_S", 0.0)

    found = only(check_speed(a_known(a_place(tmp_path))))

    assert found.id == "power.hot"
    assert "4x since the last look" in (found.why or "")


def test_a_hot_mac_is_told(tmp_path: Path) -> None:
    place = a_place(
        tmp_path, system="darwin", ask=lambda _: "com.apple.system.thermalpressurelevel 2\n"
    )

    assert bad(check_speed(a_known(place))) == ["power.hot"]


@pytest.mark.parametrize(
    ("environment", "on_terminal", "ids"),
    [
        ({"LANG": "en_US.UTF-8", "TERM": "xterm"}, True, []),
        ({"LANG": "de_DE.utf8", "TERM": "xterm"}, True, []),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C", "TERM": "xterm"}, True, ["terminal.language"]),
        ({"LANG": "C.UTF-8", "TERM": "dumb"}, True, ["terminal.dumb"]),
        ({"LANG": "C.UTF-8", "TERM": "dumb"}, False, []),
        ({"TERM": "tmux-256color"}, True, ["terminal.colours"]),
    ],
)
def test_a_terminal_that_draws_too_little_is_noted(
    tmp_path: Path, environment: dict[str, str], ids: list[str], *, on_terminal: bool
) -> None:
    place = a_place(tmp_path, environment=environment, on_terminal=on_terminal)

    assert bad(check_terminal(a_known(place))) == ids


RUNS = ServiceView(installed=True, kind="systemd", enabled=True, state="active", lingers=True)


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({}, []),
        ({"outdated": ("it starts /old/python",)}, ["service.outdated"]),
        ({"state": "failed"}, ["service.failed"]),
        ({"outside": 77}, ["service.outside"]),
        ({"lingers": False}, ["service.login"]),
        ({"enabled": False}, ["service.not-enabled"]),
        ({"problem": "no systemd"}, ["service.problem"]),
    ],
)
def test_what_is_wrong_with_a_service_is_told(changes: dict[str, object], ids: list[str]) -> None:
    view = ServiceView(**{**{f: getattr(RUNS, f) for f in RUNS.__struct_fields__}, **changes})  # type: ignore[arg-type]

    found = list(judge(view))

    assert [one.id for one in found] == ids
    assert [one.repair for one in found] == (
        [RenewService()] if "outdated" in changes else [None] * len(ids)
    )
