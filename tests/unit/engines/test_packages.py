"""Wheels out of an index: by the real pip, and by whatever calls itself uv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from localllm.catalog.builds import Package
from localllm.engines.builds.packages import install_packages
from localllm.errors import EngineUnusable, LocalLLMError, NoNetwork, NoSpace, WrongContent
from tests.fakes.release_server import Outside, a_wheel, an_outside, sha256

RUNTIME, CUBLAS = "nvidia-cuda-runtime-cu12", "nvidia-cublas-cu12"
LIBRARIES = {RUNTIME: "nvidia/cuda_runtime/lib/libcudart.so.12", CUBLAS: "nvidia/cublas/lib/libcublas.so.12"}  # fmt: skip
UV = """#!{python}
import json, os, sys
file = sys.argv[-1]
told = {{"argv": sys.argv[1:], "wanted": open(file).read(), "env": dict(os.environ)}}
with open({record!r}, "a") as record:
    record.write(json.dumps(told) + "\\n")
print({says!r}, file=sys.stderr)
sys.exit({code})
"""


def a_package(name: str, content: bytes, **more: str | None) -> Package:
    return Package(name=name, version="12.8.90", sha256=sha256(content), size=len(content), **more)


def file_name(name: str) -> str:
    return f"{name.replace('-', '_')}-12.8.90-py3-none-any.whl"


def wheel(name: str) -> bytes:
    return a_wheel(name, "12.8.90", {LIBRARIES[name]: name.encode()})


@pytest.fixture
def outside() -> Iterator[Outside]:
    with an_outside() as served:
        for name in LIBRARIES:
            served.add_wheel(name, wheel(name), file_name(name))
        yield served


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def environment(**more: str) -> dict[str, str]:
    """That of a user who has pip alone, and nothing said of an index."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    quick = {"PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    return {**kept, **quick, "PATH": "/usr/bin:/bin", **more}


def refusal(packages: Sequence[Package], into: Path, **more: str) -> LocalLLMError:
    with pytest.raises(LocalLLMError) as caught:
        install_packages(packages, into, environment(**more))
    return caught.value


def test_packages_that_share_a_folder_are_there_side_by_side(outside: Outside, into: Path) -> None:
    """As NVIDIA's do; pip's --target throws the folder of the first away for the second."""
    packages = [a_package(name, wheel(name)) for name in LIBRARIES]

    install_packages(packages, into, environment(PIP_INDEX_URL=outside.index))

    assert {n: (into / path).read_text() for n, path in LIBRARIES.items()} == {
        n: n for n in LIBRARIES
    }
    assert not [p.name for p in into.iterdir() if p.name.startswith(".")]


def test_a_file_with_another_hash_is_refused(outside: Outside, into: Path) -> None:
    package = a_package(RUNTIME, b"what was pinned")

    error = refusal([package], into, PIP_INDEX_URL=outside.index)

    assert isinstance(error, WrongContent)
    assert error.what == f"{RUNTIME} 12.8.90 is not what it should be."
    assert package.sha256 in error.why
    assert list(into.iterdir()) == []


def test_what_an_index_does_not_have_is_named(outside: Outside, into: Path) -> None:
    error = refusal([a_package("nvidia-nothing", b"")], into, PIP_INDEX_URL=outside.index)

    assert isinstance(error, NoNetwork)
    assert error.what == "nvidia-nothing 12.8.90 could not be installed."
    assert "PIP_INDEX_URL" in error.fix


def test_without_network_it_is_an_error(into: Path) -> None:
    with an_outside() as gone:
        pass

    assert isinstance(refusal([a_package(RUNTIME, b"")], into, PIP_INDEX_URL=gone.index), NoNetwork)


def test_a_machine_without_network_installs_from_a_folder(
    outside: Outside, into: Path, tmp_path: Path
) -> None:
    (tmp_path / file_name(RUNTIME)).write_bytes(wheel(RUNTIME))
    own = a_package(RUNTIME, wheel(RUNTIME), index="https://not.asked.invalid/simple")

    install_packages([own], into, environment(PIP_INDEX_URL=outside.index), find_in=tmp_path)

    assert (into / LIBRARIES[RUNTIME]).exists()
    assert outside.asked == []


def test_an_index_that_is_named_for_uv_is_handed_to_pip(outside: Outside, into: Path) -> None:
    install_packages(
        [a_package(RUNTIME, wheel(RUNTIME))],
        into,
        environment(UV_DEFAULT_INDEX=outside.index, PIP_INDEX_URL=""),
    )

    assert (into / LIBRARIES[RUNTIME]).exists()


def a_uv(folder: Path, *, code: int = 0, says: str = "") -> Path:
    """A program that notes how it was called, and ends as it is told."""
    program = folder / "bin" / "uv"
    program.parent.mkdir()
    record = str(folder / "record")
    program.write_text(UV.format(python=sys.executable, record=record, says=says, code=code))
    program.chmod(0o755)
    return program.parent


@pytest.mark.parametrize(
    ("variables", "index"),
    [
        ({}, None),
        ({"PIP_INDEX_URL": "https://one.invalid"}, "https://one.invalid"),
        ({"PIP_INDEX_URL": ""}, None),
        ({"PIP_INDEX_URL": "https://one.invalid", "UV_DEFAULT_INDEX": "https://two.invalid"}, None),
        ({"PIP_INDEX_URL": "https://one.invalid", "UV_INDEX_URL": "https://two.invalid"}, None),
        ({"PIP_INDEX_URL": "https://one.invalid", "UV_INDEX_URL": ""}, "https://one.invalid"),
    ],
)
def test_uv_is_told_of_pips_index_unless_it_has_one(
    into: Path, tmp_path: Path, variables: dict[str, str], index: str | None
) -> None:
    told = by_uv([a_package(RUNTIME, b"x")], into, tmp_path, **variables)[0]

    own = variables.get("UV_DEFAULT_INDEX") or variables.get("UV_INDEX_URL")
    assert "--index-url" not in told["argv"], "which everybody could read, a password in it too"
    said = told["env"].get("UV_DEFAULT_INDEX") or told["env"].get("UV_INDEX_URL")
    assert (said or None) == (index or own)


def by_uv(
    packages: Sequence[Package], into: Path, folder: Path, **variables: str
) -> list[dict[str, Any]]:
    path = f"{a_uv(folder)}:/usr/bin:/bin"
    install_packages(packages, into, environment(PATH=path, **variables))
    return [json.loads(line) for line in (folder / "record").read_text().splitlines()]


def test_uv_is_asked_where_it_is_for_wheels_of_this_python_by_hash(
    into: Path, tmp_path: Path
) -> None:
    own = "https://wheels.invalid/cu128"
    packages = [a_package(RUNTIME, b"x"), a_package("xllamacpp", b"y", index=own)]

    first, second = by_uv(packages, into, tmp_path, PIP_INDEX_URL="https://one.invalid")

    assert first["argv"][:4] == ["pip", "install", "--python", sys.executable]
    assert {"--no-deps", "--require-hashes", "--only-binary"} <= set(first["argv"])
    assert first["wanted"] == f"{RUNTIME}==12.8.90 --hash=sha256:{sha256(b'x')}\n"
    assert own in second["argv"], "an index of the project's own goes before the user's"


@pytest.mark.parametrize(
    ("says", "kind", "text"),
    [
        ("  Failed to read `a==1`\n  ├─▶ Hash mismatch for `a==1`", WrongContent, "SHA-256"),
        ("error: No space left on device (os error 28)", NoSpace, "No space left"),
        ("error: error sending request for url", NoNetwork, "sending request"),
        ("", NoNetwork, "no reason"),
    ],
)
@pytest.mark.parametrize("tied", [False, True])
def test_what_uv_says_is_understood(
    into: Path, tmp_path: Path, says: str, kind: type[LocalLLMError], text: str, tied: bool
) -> None:
    folder = a_uv(tmp_path, code=1, says=says)

    with pytest.raises(LocalLLMError) as caught:
        path = f"{folder}:/usr/bin:/bin"
        install_packages([a_package(RUNTIME, b"x")], into, environment(PATH=path), tied=tied)

    error = caught.value

    assert type(error) is kind
    assert text in error.why


def test_where_there_is_neither_uv_nor_pip_it_is_said_so(
    into: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in an environment that uv has made, once uv is off the PATH."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nshift; exec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))

    error = refusal([a_package(RUNTIME, b"x")], into)

    assert isinstance(error, EngineUnusable)
    assert "neither uv nor pip" in error.why


INSTALLS = """
import os, sys
from pathlib import Path
from localllm.catalog.builds import Package
from localllm.engines.builds.packages import install_packages
package = Package(name="slow", version="1", sha256="0" * 64, size=1)
install_packages([package], Path(sys.argv[1]), os.environ, tied=True)
"""
SLOW_UV = """#!/bin/sh
sleep 60 &
echo $! >{folder}/child.draft; mv {folder}/child.draft {folder}/child
wait
"""


def test_an_installer_that_is_tied_ends_with_a_process_that_is_killed(
    into: Path, tmp_path: Path
) -> None:
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(SLOW_UV.format(folder=tmp_path))
    uv.chmod(0o755)
    surroundings = environment(
        PATH=f"{uv.parent}:/usr/bin:/bin", PYTHONPATH=os.pathsep.join(sys.path)
    )
    command = [sys.executable, "-c", INSTALLS, str(into)]
    with subprocess.Popen(command, env=surroundings) as parent:
        wait_until((tmp_path / "child").exists)
        child = int((tmp_path / "child").read_text())
        assert is_alive(child)

        parent.kill()

        wait_until(lambda: not is_alive(child))


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 15.0
    while not holds():
        assert time.monotonic() < end, "in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
