"""What is found out once for all checks: of real processes, and of drivers that answer or hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from localllm.checkup.checks.others import holders
from localllm.checkup.facts import Fact
from localllm.checkup.known import Known, list_programs
from localllm.checkup.place import ask_briefly, may_open, this_place
from localllm.config.settings import Settings
from localllm.errors import ConfigError
from localllm.paths import paths_for
from localllm.supervisor.reaper import OWNER_VARIABLE
from localllm.units import MIB
from tests.fakes import nvml_stand_in
from tests.unit.checkup.a_place import a_place

ROOT = Path(__file__).parents[3]
HEAVY = {"aiohttp", "textual", "rich", "huggingface_hub", "httpx2", "xllamacpp"}
HANGS = "int nvmlInitWithFlags(unsigned flags) { (void)flags; for (;;) pause(); }\n"


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml_stand_in.build(tmp_path_factory.mktemp("nvml"))


def test_a_driver_is_asked_in_a_process_of_its_own(
    tmp_path: Path, nvml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in nvml_stand_in.environment(nvml, "rtx5090").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    place = a_place(tmp_path, {"dev/nvidiactl": ""})

    machine = Known(place, monotonic() + 20.0).machine.get()

    assert machine is not None
    assert machine.devices[0].name == "NVIDIA GeForce RTX 5090"
    assert 64 * MIB in holders(machine).values()


def test_a_driver_that_hangs_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hangs"
    folder.mkdir()
    source = folder / "hangs.c"
    source.write_text(f"#include <unistd.h>\n{HANGS}")
    library = folder / nvml_stand_in.LIBRARY
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    for name, value in nvml_stand_in.environment(folder, "rtx5090").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    place = a_place(tmp_path, {"dev/nvidiactl": ""})
    began = monotonic()

    known = Known(place, began + 0.8)

    assert known.machine.get() is None
    assert monotonic() - began < 2.0
    known.machine.deadline = monotonic() + 5.0
    known.machine.get()
    assert known.machine.failure == "TimeoutError: the driver did not answer"


def test_every_process_is_listed_and_engines_by_whose_they_are(tmp_path: Path) -> None:
    environment = {**os.environ, OWNER_VARIABLE: "/some/state"}
    with subprocess.Popen(["sleep", "60"], env=environment) as engine:
        try:
            listed = {one.pid: one for one in list_programs(a_place(tmp_path))}
        finally:
            engine.kill()

    assert listed[engine.pid].engine_of == "/some/state"
    assert listed[engine.pid].command == "sleep 60"
    assert listed[os.getpid()].resident_bytes > 10 * MIB


def test_wrong_settings_are_kept_as_the_error_that_they_are(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.config_file.write_text("port = 'none'\n")

    known = Known(place, monotonic() + 10.0)

    assert isinstance(known.settings.get(), ConfigError)
    assert known.port == Settings().port


def test_a_fact_that_cannot_be_found_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    fact: Fact[int] = Fact(lambda: int("x"), monotonic() + 5.0)
    fact.start()

    assert fact.get() is None
    assert "ValueError" in (fact.failure or "")
    assert not fact.is_late
    assert capfd.readouterr().err == ""


def test_a_program_that_hangs_is_left_behind() -> None:
    began = monotonic()

    assert ask_briefly(["sleep", "60"], 0.1) is None
    assert monotonic() - began < 2.0
    assert ask_briefly(["no-such-program"]) is None
    assert ask_briefly(["echo", "hello"], 5.0) == "hello\n"


@pytest.mark.parametrize(
    ("mode", "groups", "may"),
    [
        (0o660, set(), False),
        (0o660, {"its"}, True),
        (0o640, {"its"}, False),
        (0o666, set(), True),
        (0o600, {"its"}, False),
    ],
)
def test_rights_are_read_as_they_are_written(
    tmp_path: Path, mode: int, groups: set[str], *, may: bool
) -> None:
    file = tmp_path / "card"
    file.touch()
    file.chmod(mode)
    mine = frozenset({file.stat().st_gid} if groups else ())

    assert may_open(file, a_place(tmp_path, user_id=4711, groups=mine)) is may


def test_this_computer_is_one_too() -> None:
    place = this_place(paths_for({"LOCALLLM_HOME": "/x"}))

    assert place.system == sys.platform.removesuffix("2")
    assert place.user_id == os.geteuid()
    assert place.read("no/such/file") == ""


def test_the_doctor_loads_nothing_heavy() -> None:
    """It is to be done before others have begun; aiohttp alone would cost it 0.1 s."""
    code = "import sys, localllm.checkup.all_checks, localllm.cli.doctor; print(*sys.modules)"

    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())

    assert not loaded & HEAVY
