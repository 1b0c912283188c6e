"""The program that is installed is kept as the wheel that it came in."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from localllm.installation.keeping import keep_packages, keep_program, kept_wheel
from localllm.installation.method import Installed, Method


def an_installed(site: Path, version: str = "1.0") -> Installed:
    """As pip leaves it, from a wheel with one module."""
    (site / "localllm" / "__pycache__").mkdir(parents=True, exist_ok=True)
    info = site / f"localllm-{version}.dist-info"
    info.mkdir()
    files = {
        "localllm/__init__.py": "pass\n",
        "localllm/__pycache__/__init__.pyc": "made",
        f"{info.name}/METADATA": f"Name: localllm\nVersion: {version}\n",
        f"{info.name}/WHEEL": "Wheel-Version: 1.0\n",
        f"{info.name}/INSTALLER": "pip\n",
        f"{info.name}/direct_url.json": "{}",
    }
    for name, text in files.items():
        (site / name).write_text(text)
    record = [*files, "../../../bin/localllm", f"{info.name}/RECORD"]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in record))
    return Installed(Method.PIP, version, "python", site)


def test_the_wheel_has_what_its_own_wheel_had(tmp_path: Path) -> None:
    wheel = keep_program(an_installed(tmp_path / "site"), tmp_path / "data")

    with zipfile.ZipFile(wheel) as packed:
        assert packed.namelist() == [
            "localllm-1.0.dist-info/METADATA",
            "localllm-1.0.dist-info/WHEEL",
            "localllm/__init__.py",
            "localllm-1.0.dist-info/RECORD",
        ]
        record = packed.read("localllm-1.0.dist-info/RECORD").decode()
    assert "localllm/__init__.py,sha256=" in record
    assert kept_wheel(tmp_path / "data", "1.0") == wheel
    assert kept_wheel(tmp_path / "data", "2.0") is None


def test_the_last_two_stay(tmp_path: Path) -> None:
    for number, version in enumerate(("1.0", "1.1", "1.2")):
        wheel = keep_program(an_installed(tmp_path / version, version), tmp_path / "data")
        os.utime(wheel, (number, number))

    kept = keep_program(an_installed(tmp_path / "again", "1.3"), tmp_path / "data")

    assert sorted(one.name.split("-")[1] for one in kept.parent.iterdir()) == ["1.2", "1.3"]


def test_one_that_is_about_to_be_installed_stays_as_a_third(tmp_path: Path) -> None:
    """As with `upgrade --to 1.0` from 1.2, where 1.0 and 1.1 were kept."""
    data = tmp_path / "data"
    for number, version in enumerate(("1.0", "1.1")):
        os.utime(keep_program(an_installed(tmp_path / version, version), data), (number, number))
    wanted = kept_wheel(data, "1.0")

    keep_program(an_installed(tmp_path / "1.2", "1.2"), data, spared=wanted)

    assert [kept_wheel(data, one) is not None for one in ("1.0", "1.1", "1.2")] == [True] * 3


def test_one_that_is_damaged_counts_for_nothing(tmp_path: Path) -> None:
    wheel = keep_program(an_installed(tmp_path / "site"), tmp_path / "data")
    content = wheel.read_bytes()

    for damaged in (content[:-40], b"", content[:50] + b"?" + content[51:]):
        wheel.write_bytes(damaged)
        assert kept_wheel(tmp_path / "data", "1.0") is None


def test_a_disk_that_is_full_leaves_the_one_that_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, data = an_installed(tmp_path / "site"), tmp_path / "data"
    wheel = keep_program(installed, data)
    before = wheel.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("localllm.installation.keeping.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        keep_program(installed, data)

    assert [one.name for one in wheel.parent.iterdir()] == [wheel.name]
    assert wheel.read_bytes() == before


def test_what_it_needs_is_kept_for_the_machines_that_it_was_built_for(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name, tags in {"fast_json": ["cp311-cp311-linux_x86_64"], "other": []}.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "WHEEL").write_text("".join(f"Tag: {tag}\n" for tag in tags))
        (info / "RECORD").write_text(f"{info.name}/WHEEL,,\n")
    half = site / "half-1.0.dist-info"
    half.mkdir()
    (half / "RECORD").write_text("half.py,,\n")
    installed = Installed(Method.PIP, "1.0", "python", site)

    kept = keep_packages(installed, {"fast-json", "half", "none"}, tmp_path / "before")

    assert [one.name for one in kept] == ["fast_json-1.0-cp311-cp311-linux_x86_64.whl"]
