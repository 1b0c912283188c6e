"""What each installer is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.installation import commands
from localllm.installation.commands import Source
from localllm.installation.method import Installed, Method

FOLDER, WHEEL = Source(folder=Path("/w")), Source(wheel=Path("/w/localllm-2.0-py3-none-any.whl"))
INDEX = Source(index="https://index.example/simple")


def installed(method: Method, **more: object) -> Installed:
    return Installed(method, "1.0", "/env/bin/python", Path("/env/site"), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "source", "extras", "expected"),
    [
        (None, Source(), (), "localllm"),
        ("2.0", Source(), (), "localllm==2.0"),
        ("2.0", INDEX, ("mlx", "web"), "localllm[mlx,web]==2.0"),
        (
            "2.0",
            WHEEL,
            ("web",),
            "localllm[web] @ file:///w/localllm-2.0-py3-none-any.whl",
        ),
    ],
)
def test_what_is_wanted_keeps_its_extras(
    version: str | None, source: Source, extras: tuple[str, ...], expected: str
) -> None:
    assert commands.requirement(installed(Method.PIP, extras=extras), version, source) == expected


PIP = "/env/bin/python -P -m pip install --disable-pip-version-check"
UV = "uv pip install --python /env/bin/python"


@pytest.mark.parametrize(
    ("here", "source", "expected"),
    [
        (installed(Method.PIP), Source(), f"{PIP} localllm==2.0"),
        (installed(Method.PIP), INDEX, f"{PIP} --index-url {INDEX.index} localllm==2.0"),
        (installed(Method.UV_PIP), INDEX, f"{UV} --default-index {INDEX.index} localllm==2.0"),
        (
            installed(Method.UV_TOOL, beside=("rich>=13",)),
            FOLDER,
            "uv tool install --find-links /w --with rich>=13 localllm==2.0",
        ),
        (installed(Method.PIPX), Source(), "pipx install --force localllm==2.0"),
        (
            installed(Method.PIPX),
            FOLDER,
            "pipx install --force --pip-args=--find-links /w localllm==2.0",
        ),
    ],
)
def test_each_installer_has_its_own_words(here: Installed, source: Source, expected: str) -> None:
    assert " ".join(commands.install(here, "localllm==2.0", source)) == expected


@pytest.mark.parametrize(
    ("here", "begins"),
    [
        (installed(Method.PIP), PIP),
        (installed(Method.PIPX), PIP),
        (installed(Method.PIPX, has_pip=False), UV),
        (installed(Method.UV_TOOL, has_pip=False), UV),
    ],
)
def test_what_changes_is_asked_of_whoever_looks_after_the_packages(
    here: Installed, begins: str
) -> None:
    words = commands.rehearse(here, ["localllm"], Source())

    assert " ".join(words).startswith(f"{begins} --dry-run")
    assert ("--report" in words) == (begins == PIP)


@pytest.mark.parametrize("method", list(Method))
def test_each_way_has_words_for_its_end(method: Method) -> None:
    assert commands.remove(installed(method))


def test_a_checkout_is_brought_up_to_date_by_git() -> None:
    assert "git -C /env/site pull" in commands.by_hand(installed(Method.CHECKOUT))


@pytest.mark.parametrize(("method", "words"), [(Method.PIPX, PIP), (Method.UV_TOOL, UV)])
def test_what_was_there_is_put_back_without_any_index(method: Method, words: str) -> None:
    put_back = commands.put_back(installed(method), [Path("/w/a.whl"), Path("/w/b.whl")])

    assert " ".join(put_back) == f"{words} --no-deps --no-index --force-reinstall /w/a.whl /w/b.whl"
