"""Engines against hardware, holes of versions, versions of files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from localllm import __version__
from localllm.api.status_views import LayersView
from localllm.catalog.builds import read_builds
from localllm.checkup.advisories import Advisory, Installation, concern, read_advisories
from localllm.checkup.checks import versions
from localllm.checkup.checks.builds import check_builds
from localllm.checkup.checks.state_files import check_state_files
from localllm.checkup.checks.versions import check_advisories, check_versions
from localllm.checkup.finding import Severity
from localllm.checkup.known import Running
from localllm.checkup.place import Place
from localllm.engines.builds.shelf import Manifest, Shelf
from localllm.hardware.graphics import Graphics
from localllm.metrics.ledger_schema import APPLICATION_ID
from localllm.paths import bundled_profiles
from localllm.units import GIB
from tests.fakes.scene_parts import an_instance
from tests.unit.checkup.a_place import (
    a_daemon_file,
    a_known,
    a_machine,
    a_place,
    a_status,
    bad,
    by_id,
    only,
)

CUDA = "llama-b11146-cuda12.8-x64"


def in_use(place: Place, build_id: str) -> None:
    """Put a build on the shelf, and into use: without its files, and for any C library."""
    builds = read_builds(bundled_profiles())
    build = next(one for one in builds if build_id in one.id)
    build = msgspec.structs.replace(build, least_glibc=None, needs=())
    shelf = Shelf(place.paths.engines)
    staging = shelf.folder / "new"
    staging.mkdir(parents=True)
    shelf.use(
        shelf.shelve(staging, Manifest(build=build, fetched_from="x", at=0.0, proved_on=None))
    )


def test_a_model_on_the_processor_beside_an_idle_card_is_a_problem(tmp_path: Path) -> None:
    model = an_instance("qwen3-8b", layers=0, device="cpu")
    model = msgspec.structs.replace(model, layers=LayersView(on_device=0, total=36))
    known = a_known(a_place(tmp_path), machine="rtx5090", status=a_status(model))

    found = by_id(check_builds(known))["engine.on-processor"]

    assert found.severity is Severity.PROBLEM
    assert "NVIDIA GeForce RTX 5090 stands idle" in found.what
    assert found.fix == "localllm engine install && localllm up qwen3-8b"


def test_it_is_a_note_where_the_user_has_allowed_it(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.config_file.write_text("allow_cpu = true\n")
    model = msgspec.structs.replace(an_instance("m"), layers=LayersView(on_device=0, total=36))
    known = a_known(place, machine="rtx5090", status=a_status(model))

    assert by_id(check_builds(known))["engine.on-processor"].severity is Severity.NOTE


def test_layers_that_did_not_fit_are_noted(tmp_path: Path) -> None:
    model = msgspec.structs.replace(an_instance("m"), layers=LayersView(on_device=30, total=36))
    known = a_known(a_place(tmp_path), machine="rtx5090", status=a_status(model))

    assert only(check_builds(known)).what == "6 of 36 layers of m are on the processor."


@pytest.mark.parametrize("runs", [True, False])
def test_a_card_without_an_engine_for_it_is_a_warning_once_a_daemon_runs(
    tmp_path: Path, *, runs: bool
) -> None:
    """Before the first `up` it is as it has to be: that one fetches it."""
    status = a_status() if runs else None
    found = only(check_builds(a_known(a_place(tmp_path), machine="rtx5090", status=status)))

    assert found.id == "engine.none-for-card"
    assert found.severity is (Severity.WARNING if runs else Severity.NOTE)
    assert found.fix == "localllm engine install"


def test_a_card_that_only_the_kernel_knows_counts(tmp_path: Path) -> None:
    amd = Graphics("amd", "744c", memory_total=24 * GIB, discrete=True)
    machine = a_machine("cpu-16", graphics=(amd,))

    assert bad(check_builds(a_known(a_place(tmp_path), machine=machine))) == [
        "engine.none-for-card"
    ]


def test_a_driver_too_old_for_the_build_in_use_is_a_problem(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    in_use(place, CUDA)
    machine = a_machine("rtx4090")
    card, *others = machine.devices
    machine = replace(machine, devices=(replace(card, driver="535.54"), *others))

    found = by_id(check_builds(a_known(place, machine=machine)))["engine.does-not-fit"]

    assert found.why is not None
    assert "570.26 or newer, 535.54 is installed" in found.why
    assert found.fix == "sudo ubuntu-drivers install && sudo reboot"


def test_no_card_needs_no_engine(tmp_path: Path) -> None:
    assert bad(check_builds(a_known(a_place(tmp_path), machine="cpu-16"))) == []


def test_a_macs_engine_comes_along(tmp_path: Path) -> None:
    known = a_known(a_place(tmp_path, system="darwin"), machine="m4-max-128")

    assert bad(check_builds(known)) == []


HOLE = Advisory(id="X", of="llama.cpp", since="8000", fixed="9000", effect="e", source="s")


@pytest.mark.parametrize(
    ("advisory", "name", "version", "has_it"),
    [
        (HOLE, "llama-server", "b8999", True),
        (HOLE, "llama-server", "b9000", False),
        (HOLE, "llama-server", "b7999", False),
        (HOLE, "xllamacpp", "2026.4.8500", True),
        (HOLE, "xllamacpp", "2026.10.11549", False),
        (HOLE, "llama-cpp-python", "0.3.36", False),
        (msgspec.structs.replace(HOLE, fixed=None, last="8500"), "llama-server", "b8500", True),
        (msgspec.structs.replace(HOLE, fixed=None, last="8500"), "llama-server", "b8501", False),
        (
            Advisory(id="X", of="aiohttp", fixed="3.14.4", effect="", source=""),
            "aiohttp",
            "3.14.3",
            True,
        ),
        (
            Advisory(id="X", of="aiohttp", fixed="3.14.4", effect="", source=""),
            "aiohttp",
            "3.14.4",
            False,
        ),
        (
            Advisory(id="X", of="aiohttp", fixed="3.9.2", effect="", source=""),
            "aiohttp",
            "3.14.3",
            False,
        ),
        (Advisory(id="X", of="mlx-lm", effect="", source=""), "mlx_lm", "0.40", True),
        (Advisory(id="X", of="mlx-lm", effect="", source=""), "mlx", "0.40", False),
    ],
)
def test_a_hole_concerns_the_versions_that_have_it(
    advisory: Advisory, name: str, version: str, *, has_it: bool
) -> None:
    assert concern(advisory, Installation(name, version, "")) == has_it


def test_every_hole_that_we_list_has_a_source_and_a_range_or_a_reason() -> None:
    for advisory in read_advisories(bundled_profiles()):
        source = urlsplit(advisory.source)
        assert source.scheme == "https", advisory.id
        assert source.path.strip("/"), f"{advisory.id}: a page, and not a site"
        assert advisory.fixed or advisory.last or advisory.kept_out, advisory.id


def test_what_we_ship_with_has_no_hole_that_can_be_reached(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    in_use(place, CUDA)

    found = list(check_advisories(a_known(place)))

    assert [one.what for one in found if one.severity is Severity.WARNING] == []
    kept_out = [one for one in found if one.id == "versions.hole-kept-out"]
    assert any(
        "CVE-2026-107183" in one.what and "llama-server b11146" in one.what for one in kept_out
    )


def test_a_hole_that_is_kept_out_and_that_nobody_has_mended_is_no_news_every_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"mlx": "0.32.4"}
    monkeypatch.setattr(versions, "_version", here.get)

    found = list(check_advisories(a_known(a_place(tmp_path))))

    assert bad(found) == []
    assert any("GHSA-2284-h945-8w3c" in one.what for one in found), "with --all it is told"


def test_an_engine_of_the_users_own_is_asked_for_its_version(tmp_path: Path) -> None:
    said = {"/opt/llama-server": "version: 8000 (7e4c0a9)\nbuilt with cc\n"}
    place = a_place(tmp_path, ask=lambda words: said.get(words[0]))
    place.paths.config_file.write_text('llama_server = "/opt/llama-server"\n')

    found = [one for one in check_advisories(a_known(place)) if one.severity is Severity.WARNING]

    assert {one.id for one in found} == {"versions.hole"}
    assert any("llama-server b8000" in one.what and "CVE-2026-27940" in one.what for one in found)
    assert all("Source: https://" in (one.why or "") for one in found)


def test_a_daemon_of_another_version_is_replaced_by_up(tmp_path: Path) -> None:
    old = Running(a_daemon_file(version="0.0.1"), a_status())
    found = only(check_versions(a_known(a_place(tmp_path), daemon=old)))

    assert (found.id, found.severity, found.fix) == (
        "versions.daemon",
        Severity.WARNING,
        "localllm up",
    )
    same = Running(a_daemon_file(version=__version__), a_status())
    assert bad(check_versions(a_known(a_place(tmp_path), daemon=same))) == []


def test_python_without_fixes_is_a_warning(tmp_path: Path) -> None:
    in_2040 = 70 * 365.25 * 86_400
    assert bad(check_versions(a_known(a_place(tmp_path, now=lambda: in_2040)))) == [
        "versions.python"
    ]


@pytest.mark.parametrize(
    ("name", "content", "id_"),
    [
        ("serving.json", '{"format": 99}', "files.newer"),
        ("keys.json", '{"format": 99}', "files.newer"),
        ("pulls.json", '{"version": 99}', "files.newer"),
        ("tokenizers.json", "{", "files.damaged"),
        ("agents/codex.json", '{"format": 7, "agent": "codex"}', "files.newer"),
        (
            "requests.sqlite3",
            "no database at all, but long enough to be looked at",
            "files.damaged",
        ),
    ],
)
def test_files_of_other_versions_are_named(
    tmp_path: Path, name: str, content: str, id_: str
) -> None:
    place = a_place(tmp_path)
    file = place.paths.state / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)

    found = only(check_state_files(a_known(place)))

    assert found.id == id_
    assert str(file) in found.what
    assert found.repair is None, "what it holds is the user's"


def test_a_file_that_was_set_aside_is_a_note_and_all_is_in_order_but_for_it(
    tmp_path: Path,
) -> None:
    place = a_place(tmp_path)
    (place.paths.state / "serving.json.broken").write_text("half")

    found = {one.id: one.severity for one in check_state_files(a_known(place))}

    assert found == {"files.set-aside": Severity.NOTE, "files.versions": Severity.OK}


def test_a_database_of_a_newer_version_is_named(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    with closing(sqlite3.connect(place.paths.requests_db)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 99")

    assert bad(check_state_files(a_known(place))) == ["files.newer"]


def test_no_files_are_in_order(tmp_path: Path) -> None:
    assert bad(check_state_files(a_known(a_place(tmp_path)))) == []
