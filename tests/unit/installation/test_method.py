"""How localllm was installed is told by what the installer has left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localllm.installation import method
from localllm.installation.method import Method, Traces, decide_method, read_installed, read_traces


@pytest.mark.parametrize(
    ("traces", "expected"),
    [
        (Traces(has_uv_receipt=True, installer="uv", has_pip=False), Method.UV_TOOL),
        (Traces(has_pipx_receipt=True, installer="uv", has_pip=False), Method.PIPX),
        (Traces(has_pipx_receipt=True), Method.PIPX),
        (Traces(), Method.PIP),
        (Traces(installer="uv"), Method.UV_PIP),
        (Traces(has_pip=False), Method.UV_PIP),
        (Traces(is_managed=True), Method.PIP),
        (Traces(is_managed=True, in_environment=False), Method.SYSTEM),
        (Traces(in_environment=False), Method.PIP),
        (Traces(editable="/src"), Method.CHECKOUT),
        (Traces(editable="/src", has_uv_receipt=True), Method.CHECKOUT),
        (Traces(is_installed=False), Method.CHECKOUT),
    ],
)
def test_the_installer_is_told_by_its_traces(traces: Traces, expected: Method) -> None:
    assert decide_method(traces) is expected


def an_installation(folder: Path, *, direct: object = None, installer: str = "pip\n") -> Path:
    record = folder / "localllm-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "INSTALLER").write_text(installer)
    if direct is not None:
        (record / "direct_url.json").write_text(json.dumps(direct))
    return folder


def test_traces_are_read_where_installers_leave_them(tmp_path: Path) -> None:
    site = an_installation(tmp_path / "site", installer="uv")
    (tmp_path / "uv-receipt.toml").write_text("")

    traces = read_traces(tmp_path, site)

    assert (traces.has_uv_receipt, traces.has_pipx_receipt) == (True, False)
    assert (traces.is_installed, traces.installer, traces.editable) == (True, "uv", None)


@pytest.mark.parametrize(
    ("direct", "editable"),
    [
        ({"url": "file:///src/localllm", "dir_info": {"editable": True}}, "/src/localllm"),
        ({"url": "file:///src/localllm", "dir_info": {}}, None),
        ({"url": "file:///x.whl", "archive_info": {}}, None),
        ([], None),
    ],
)
def test_a_link_to_a_checkout_is_no_copy_of_it(
    tmp_path: Path, direct: object, editable: str | None
) -> None:
    assert read_traces(tmp_path, an_installation(tmp_path, direct=direct)).editable == editable


def test_what_runs_here_is_a_checkout() -> None:
    found = read_installed()

    assert found.method is Method.CHECKOUT
    assert (found.folder / "localllm" / "installation").is_dir()


RECEIPT = """
[tool]
requirements = [
    { name = "localllm", extras = ["web", "otel"], specifier = "==0.1.0" },
    { name = "rich", specifier = ">=13" },
    { name = "httpx" },
]
"""


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        (RECEIPT, (("web", "otel"), ("rich>=13", "httpx"))),
        ("[tool]\nrequirements = []", ((), ())),
        ("[tool", ((), ())),
        ("", ((), ())),
    ],
)
def test_uv_remembers_extras_and_what_came_along(
    tmp_path: Path, receipt: str, expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    (tmp_path / "uv-receipt.toml").write_text(receipt)

    assert method._asked_for(tmp_path, Method.UV_TOOL) == expected


@pytest.mark.parametrize(
    ("asked", "extras"),
    [
        ("localllm", ()),
        ("localllm[web, mlx]==1.0", ("web", "mlx")),
        ("/w/localllm-0.1.0-py3-none-any.whl[web]", ("web",)),
    ],
)
def test_pipx_remembers_extras(tmp_path: Path, asked: str, extras: tuple[str, ...]) -> None:
    receipt = {"main_package": {"package_or_url": asked}}
    (tmp_path / "pipx_metadata.json").write_text(json.dumps(receipt))

    assert method._asked_for(tmp_path, Method.PIPX) == (extras, ())


@pytest.mark.parametrize(
    ("entry", "asked"),
    [
        ('name = "rich", specifier = ">=13"', "rich>=13"),
        ('name = "mine", directory = "/src/mine"', "mine @ file:///src/mine"),
        ('name = "mine", editable = "/src/mine"', "mine @ file:///src/mine"),
        ('name = "mine", git = "https://git.example/mine?rev=1"', None),
        ('name = "mine", url = "https://example/mine.whl"', "mine @ https://example/mine.whl"),
    ],
)
def test_what_uv_installed_beside_it_from_elsewhere_comes_from_there_again(
    entry: str, asked: str | None
) -> None:
    text = f'[tool]\nrequirements = [{{ name = "localllm" }}, {{ {entry} }}]\n'

    _, beside = method._of_receipt(text)

    assert beside == (asked or "mine @ git+https://git.example/mine@1",)
