"""Getting an engine: the first build that works, from the network, from a folder, from one's own file."""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from localllm.catalog.builds import Build, Drives, Package
from localllm.engines.builds.fitting import Candidate
from localllm.engines.builds.obtain import from_disk, install_own, obtain
from localllm.engines.builds.shelf import Manifest, Shelf, Shelved
from localllm.engines.builds.trial import MODEL
from localllm.engines.builds.workshop import Workshop
from localllm.errors import EngineUnusable, LocalLLMError, NoNetwork, NoSpace
from localllm.hardware.machine import Host
from localllm.paths import bundled_profiles
from tests.fakes.engine_pins import FAKES, LIBRARY, a_program
from tests.fakes.fake_engine import HELP
from tests.fakes.release_server import Outside, a_tar, an_outside, sha256
from tests.unit.engines.a_build import URL, a_build, an_archive

PROGRAM = "llama-b1/llama-server"
QUICK = f"""#!/bin/sh
case "$1" in
    --help) echo '{HELP.strip()}';;
    --version | --list-devices) ;;
    *) exec {sys.executable} -I -S {FAKES / "fake_engine.py"} "$@";;
esac
""".encode()
WORKS = a_tar({PROGRAM: QUICK})
DIES = a_tar(
    {PROGRAM: b"#!/bin/sh\necho 'libcudart.so.12: cannot open shared object' >&2\nexit 127\n"}
)
EMPTY = a_tar({"llama-b1/README.md": b"read me"})
HOST = Host("linux", "6.1", "x86_64", "EPYC", 6, 64 << 30, 32 << 30)
CUBLAS = Package(name="nvidia-cublas.cu12", version="12.8", sha256="c" * 64, size=9)


def pinned(id_: str, content: bytes) -> Build:
    archive = an_archive(id_, sha256=sha256(content), size=len(content))
    return a_build(id_, archives=(archive,), program=PROGRAM)


@pytest.fixture
def outside() -> Iterator[Outside]:
    with an_outside() as served:
        yield served


@pytest.fixture
def workshop(tmp_path: Path, outside: Outside) -> Workshop:
    model = bundled_profiles() / "engines" / MODEL
    environment = {"PATH": "/usr/bin:/bin"}
    return Workshop(Shelf(tmp_path / "engines"), environment, model, mirror=outside.mirror)


def served(outside: Outside, **contents: bytes | None) -> Sequence[Candidate]:
    """Make candidates of these ids; None is a build whose archive the outside does not have."""
    for id_, content in contents.items():
        if content is not None:
            outside.add(URL.format(id_), content)
    return [Candidate(pinned(id_, content or WORKS)) for id_, content in contents.items()]


def got(candidates: Sequence[Candidate], workshop: Workshop) -> tuple[Shelved, list[str]]:
    asked: list[str] = []
    shelved = anyio.run(obtain, candidates, workshop, lambda build: asked.append(build.id))
    return shelved, asked


def refusal(candidates: Sequence[Candidate], workshop: Workshop) -> LocalLLMError:
    with pytest.raises(LocalLLMError) as caught:
        got(candidates, workshop)
    assert [s.build.id for s in workshop.shelf.builds()] == []
    return caught.value


def test_the_first_that_works_is_installed_and_in_use(outside: Outside, workshop: Workshop) -> None:
    unfit = Candidate(pinned("unfit", WORKS), why_not="there is no such card")
    others = served(outside, dies=DIES, absent=None, works=WORKS, better=WORKS)

    shelved, asked = got([unfit, *others], workshop)

    assert asked == ["dies", "absent", "works"]
    assert workshop.shelf.current("llama-server") == shelved
    assert [s.build.id for s in workshop.shelf.builds()] == ["works"]
    assert shelved.manifest.fetched_from == "github.com"
    assert not workshop.shelf.downloads.exists()


def test_where_none_works_each_is_named_with_its_reason(
    outside: Outside, workshop: Workshop
) -> None:
    unfit = Candidate(pinned("unfit", WORKS), why_not="there is no such card")

    error = refusal([*served(outside, dies=DIES, absent=None), unfit], workshop)

    assert isinstance(error, EngineUnusable)
    assert "the build dies: " in error.why
    assert "libcudart.so.12" in error.why
    assert "answers with 404" in error.why
    assert "the build unfit: there is no such card" in error.why


def test_one_that_cannot_be_fetched_now_is_not_replaced_by_a_lesser_one_for_ever(
    outside: Outside, workshop: Workshop
) -> None:
    with an_outside() as gone:
        candidates = served(gone, best=WORKS, lesser=WORKS)
    asked: list[str] = []

    with pytest.raises(NoNetwork):
        anyio.run(
            obtain,
            candidates,
            replace(workshop, mirror=gone.mirror),
            lambda build: asked.append(build.id),
        )

    assert asked == ["best"]


def test_one_that_is_passed_over_is_told_with_its_reason(
    outside: Outside, workshop: Workshop
) -> None:
    told: list[str] = []

    got(served(outside, dies=DIES, works=WORKS), replace(workshop, warn=told.append))

    assert len(told) == 1
    assert "the build dies is not used" in told[0]
    assert "libcudart.so.12" in told[0]


def test_one_that_is_here_is_proved_again_and_not_fetched_again(
    outside: Outside, workshop: Workshop
) -> None:
    one, other = served(outside, one=WORKS, other=WORKS)
    got([one], workshop)
    got([other], workshop)
    outside.asked.clear()

    shelved, asked = got([one], workshop)

    assert (asked, outside.asked) == ([], [])
    assert workshop.shelf.current("llama-server") == shelved


def test_where_there_is_none_to_try_a_llama_server_of_ones_own_is_the_way(
    workshop: Workshop,
) -> None:
    error = refusal([], workshop)

    assert "none is known" in error.why
    assert "PATH" in error.fix


def test_without_network_it_is_said_once_and_how_to_do_without(workshop: Workshop) -> None:
    with an_outside() as gone:
        candidates = served(gone, one=WORKS, two=WORKS)

    error = refusal(candidates, replace(workshop, mirror=gone.mirror))

    assert isinstance(error, NoNetwork)
    assert "--from" in error.fix


def test_a_full_disk_ends_it_before_the_next(
    outside: Outside, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))

    assert isinstance(refusal(served(outside, one=WORKS, two=WORKS), workshop), NoSpace)

    assert outside.asked == []


def test_who_says_no_is_not_asked_about_the_next(outside: Outside, workshop: Workshop) -> None:
    def no(build: Build) -> None:
        raise NoNetwork(build.id, why="the user said no", fix="say yes")

    with pytest.raises(NoNetwork, match="one"):
        anyio.run(obtain, served(outside, one=WORKS, two=WORKS), workshop, no)

    assert outside.asked == []


def test_what_was_brought_is_checked_as_what_is_fetched(
    outside: Outside, workshop: Workshop, tmp_path: Path
) -> None:
    (candidate,) = served(outside, one=WORKS)
    offline = replace(workshop, folder=tmp_path)

    assert "one.tar.gz is not in" in refusal([candidate], offline).why
    (tmp_path / "one.tar.gz").write_bytes(EMPTY)
    assert sha256(EMPTY) in refusal([candidate], offline).why
    (tmp_path / "one.tar.gz").write_bytes(WORKS)
    shelved, _ = got([candidate], offline)

    assert shelved.manifest.fetched_from == "this disk"
    assert outside.asked == []


@pytest.mark.parametrize(
    ("files", "place", "found"),
    [
        ([], "", None),
        (["one.tar.gz"], "", "one"),
        (["one.tar.gz", "two.tar.gz"], "", "one"),
        (["two.tar.gz"], "", None),
        (["two.tar.gz", "three.tar.gz"], "", "two"),
        (["unfit.tar.gz"], "", None),
        (["one.tar.gz"], "one.tar.gz", "one"),
        (["two.tar.gz", "three.tar.gz"], "two.tar.gz", None),
        (["mine.tar.gz"], "mine.tar.gz", None),
        (["nvidia_cublas_cu12-12.8-py3-none-manylinux_2_27_x86_64.whl"], "", "wheels"),
        (["nvidia_cublas_cu12-12.9-py3-none-any.whl"], "", None),
        (["nvidia_cublas-12.8-py3-none-any.whl"], "", None),
    ],
)
def test_the_build_is_found_whose_files_are_there(
    tmp_path: Path, files: list[str], place: str, found: str | None
) -> None:
    candidates = [
        Candidate(a_build("unfit"), why_not="there is no such card"),
        Candidate(a_build("wheels", archives=(), packages=(CUBLAS,))),
        Candidate(a_build("one")),
        Candidate(a_build("two", archives=(an_archive("two"), an_archive("three")))),
    ]
    for file in files:
        (tmp_path / file).touch()

    build = from_disk(candidates, tmp_path / place)

    assert (None if build is None else build.id) == found


def own(content: bytes, workshop: Workshop, folder: Path, name: str = "my llama.tar.gz") -> Shelved:
    (folder / name).write_bytes(content)
    return anyio.run(install_own, folder / name, HOST, workshop)


def test_an_archive_of_ones_own_is_proved_and_put_in_use(
    workshop: Workshop, tmp_path: Path
) -> None:
    shelved = own(WORKS, workshop, tmp_path)

    build = shelved.build
    assert build.id == f"own-{sha256(WORKS)[:12]}"
    assert (build.program, build.drives, build.os, build.arch) == (
        PROGRAM,
        "cpu",
        "linux",
        "x86_64",
    )
    assert workshop.shelf.current("llama-server") == shelved
    assert shelved.manifest.fetched_from == "this disk"


def test_what_it_drives_is_what_it_lists(workshop: Workshop, tmp_path: Path) -> None:
    content = a_tar({PROGRAM: a_program("cuda_server.py"), f"cuda/{Path(LIBRARY).name}": b"x"})
    libraries = tmp_path / "cuda"
    libraries.mkdir()
    (libraries / Path(LIBRARY).name).touch()
    environment = {
        **workshop.environment,
        "LD_LIBRARY_PATH": str(libraries),
        "CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2",
    }

    shelved = own(content, replace(workshop, environment=environment), tmp_path)

    assert shelved.build.drives is Drives.CUDA
    assert shelved.manifest.proved_on == "A card of NVIDIA's, A card of NVIDIA's"


def test_a_zip_that_knows_no_permissions_is_run_all_the_same(
    workshop: Workshop, tmp_path: Path
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        opened.writestr("build/bin/llama-server", QUICK)

    shelved = own(out.getvalue(), workshop, tmp_path)

    assert shelved.build.program == "build/bin/llama-server"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (EMPTY, "has no llama-server in it"),
        (b"photographs", "cannot be unpacked"),
        (DIES, "cannot be used here"),
    ],
)
def test_what_is_no_engine_changes_nothing(
    workshop: Workshop, tmp_path: Path, content: bytes, text: str
) -> None:
    with workshop.shelf.locked(), workshop.shelf.staging(a_build()) as staging:
        manifest = Manifest(build=a_build(), fetched_from="here", at=1.0, proved_on=None)
        workshop.shelf.use(before := workshop.shelf.shelve(staging, manifest))

    with pytest.raises(EngineUnusable, match=text):
        own(content, workshop, tmp_path)

    assert workshop.shelf.builds() == [replace(before, in_use=True)]
    assert [p.name for p in workshop.shelf.folder.iterdir() if p.is_dir()] == ["one"]
