"""Getting an engine is a step of `up`: the right build, fetched, checked, proved, and only then used."""

from __future__ import annotations

import os
import pty
import signal
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes import nvml_stand_in, vulkan_engine
from tests.fakes.engine_pins import a_program, serve_build
from tests.fakes.installation import Installation, wait_until
from tests.fakes.release_server import Fault, Outside, an_outside

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(180)]
NO_CODE = "CUDA error: no kernel image is available for execution on the device"


@pytest.fixture
def outside() -> Iterator[Outside]:
    with an_outside() as served:
        yield served


@pytest.fixture
def machine(
    install: Callable[..., Installation], outside: Outside, tmp_path: Path
) -> Callable[..., Installation]:
    """Make an installation on a machine of the stand-in NVML, whose outside is the tests' own."""

    def make(name: str | None, **more: str) -> Installation:
        nvml = (
            {}
            if name is None
            else nvml_stand_in.environment(nvml_stand_in.build(tmp_path / "nvml"), name)
        )
        return install(
            LOCALLLM_ENGINE_MIRROR=outside.mirror,
            PIP_INDEX_URL=outside.index,
            UV_INDEX_URL="",
            **nvml,
            **more,
        )

    return make


def installed(here: Installation) -> list[str]:
    builds = here.json("engine", "list")["builds"]
    return [build["id"] for build in builds if build["installed"]]


def test_up_on_a_5090_fetches_a_cuda_build_and_nvidias_libraries_and_serves_on_the_card(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    build = serve_build(outside, here)

    ran = here.run("up", "--yes")

    assert ran.code == 0, ran
    assert f"an engine is needed: a test build {build.id}" in ran.err
    assert "from github.com and the Python package registry" in ran.err
    model = here.model()
    assert (model["engine"], model["state"]) == ("llama-server", "ready")
    assert model["device"] == "NVIDIA GeForce RTX 5090"
    assert model["layers"] == {"on_device": 31, "total": 31}
    listed = here.json("engine", "list")
    mine = next(b for b in listed["builds"] if b["id"] == build.id)
    assert (mine["in_use"], mine["proved_on"]) == (True, "A card of NVIDIA's")
    server = next(e for e in listed["engines"] if e["name"] == "llama-server")
    assert [d["name"] for d in server["devices"]] == ["CUDA0"]


def test_on_two_5090s_the_build_is_proved_on_both_and_serves_on_one_or_both(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("two5090")
    serve_build(outside, here)

    here.ok("up", "--yes")

    proved = here.json("engine", "list")["builds"][0]["proved_on"]
    assert proved == "A card of NVIDIA's, A card of NVIDIA's"


def test_nothing_is_fetched_where_nobody_can_be_asked_and_the_error_says_how(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    serve_build(outside, here)

    ran = here.run("up")

    assert ran.code == 7, ran
    assert "is needed and not installed" in ran.err
    assert "--yes" in ran.err
    assert outside.asked == []
    assert here.processes() == []


@pytest.mark.parametrize(("answer", "code"), [("n", 7), ("y", 0)], ids=["no", "yes"])
def test_on_a_terminal_the_user_is_asked_and_what_they_say_counts(
    machine: Callable[..., Installation], outside: Outside, answer: str, code: int
) -> None:
    here = machine("rtx5090")
    serve_build(outside, here)
    ours, theirs = pty.openpty()

    with here.start("up", stdin=theirs, on_terminal=theirs) as process:
        os.close(theirs)
        said = read_until(ours, "fetch it? [Y/n]")
        os.write(ours, f"{answer}\n".encode())
        said += read_until(ours, None)
        process.wait(120)

    assert " KiB from github.com and the Python package registry" in said
    assert process.returncode == code, said
    assert ("you said no" in said) is (code == 7)
    assert bool(outside.asked) is (code == 0)


def read_until(terminal: int, words: str | None) -> str:
    """Read what is shown, up to some words, or to the end."""
    shown = b""
    while words is None or words.encode() not in shown:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # how a terminal ends on Linux
            break
        if not piece:
            break
        shown += piece
    return shown.decode(errors="replace")


def test_a_driver_too_old_for_a_build_is_known_before_its_download(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx4090")
    new = serve_build(outside, here, "test-new", more='least_driver = "999.1"\n')
    old = serve_build(outside, here, "test-old", more='least_driver = "400.1"\n')

    here.ok("up", "--yes")

    assert installed(here) == [old.id]
    assert new.path not in [path for path, _ in outside.asked]
    listed = here.json("engine", "list")["builds"]
    why = next(b["why_not"] for b in listed if b["id"] == new.id)
    assert "it needs the NVIDIA driver 999.1 or newer" in why


def test_a_build_without_code_for_the_card_is_known_before_its_download(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    serve_build(outside, here, "test-old-cards", more='native = ["8.6", "8.9"]\n')
    fits = serve_build(outside, here, "test-all-cards", more='native = ["8.6", "12.0"]\n')

    here.ok("up", "--yes")

    assert installed(here) == [fits.id]


def test_a_build_that_fails_on_the_card_is_explained_and_the_next_is_taken(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    broken = a_program("cuda_server.py").replace(
        b"exec", f"export LOCALLLM_TEST_CUDA_FAILS='{NO_CODE}'; exec".encode()
    )
    serve_build(outside, here, "test-first", program=broken)
    second = serve_build(outside, here, "test-second")

    here.ok("up", "--yes")

    assert installed(here) == [second.id]


def test_where_no_build_works_each_is_named_with_its_reason(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    broken = a_program("cuda_server.py").replace(
        b"exec", f"export LOCALLLM_TEST_CUDA_FAILS='{NO_CODE}'; exec".encode()
    )
    serve_build(outside, here, "test-first", program=broken)
    serve_build(outside, here, "test-second", packages=False)

    ran = here.run("up", "--yes")

    assert ran.code == 7, ran
    assert "this build has no code for this card" in ran.err
    assert "NVIDIA's runtime library libcudart.so.12 is missing" in ran.err
    assert installed(here) == []
    assert here.processes() == []


def test_the_processor_is_only_taken_where_it_is_allowed_and_after_the_builds_have_failed(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    serve_build(outside, here, packages=False)

    ran = here.run("up", "--yes", "--allow-cpu")

    assert ran.code == 0, ran
    assert "It runs on the processor, as you allow." in ran.err
    assert here.model()["device"] == "processor"


def test_without_a_card_nothing_is_fetched(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine(None)
    serve_build(outside, here)

    here.ok("up", "--yes")

    assert outside.asked == []
    assert here.model()["engine"] == "xllamacpp"


@pytest.mark.parametrize("instead", [b"<html>log in to the hotel's network</html>", b""])
def test_what_has_another_hash_than_the_pin_is_never_unpacked(
    machine: Callable[..., Installation], outside: Outside, instead: bytes
) -> None:
    here = machine("rtx5090")
    build = serve_build(outside, here, hash_of=b"something else", padding=1000)
    if instead:
        outside.files[build.path] = instead.ljust(len(build.archive), b" ")

    ran = here.run("up", "--yes")

    assert ran.code == 6, ran
    assert "is not what it should be" in ran.err
    assert [path for path, _ in outside.asked].count(build.path) == 2, (
        "asked once more, then refused"
    )
    assert installed(here) == []


def test_a_wheel_with_another_hash_than_the_pin_is_refused(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    serve_build(outside, here)
    wheel = next(path for path in outside.files if path.endswith(".whl"))
    outside.files[wheel] += b"one more byte"

    ran = here.run("up", "--yes")

    assert ran.code == 6, ran
    assert "nvidia-cuda-runtime-cu12 12.8.90 is not what it should be" in ran.err
    assert installed(here) == []


def test_a_download_that_is_cut_goes_on_where_it_was(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    build = serve_build(outside, here, padding=3_000_000)
    outside.faults[build.path] = [Fault(cut_at=1_000_000), Fault(status=503), Fault(cut_at=500_000)]

    here.ok("up", "--yes")

    assert installed(here) == [build.id]
    assert outside.sent[build.path] <= 1.02 * len(build.archive)


def test_one_that_is_killed_in_the_middle_leaves_nothing_half_installed_and_goes_on(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    build = serve_build(outside, here, padding=3_000_000)
    outside.faults[build.path] = [Fault(hold=(go_on := threading.Event()), hold_at=1_500_000)]

    with here.start("engine", "install", "--yes") as process:
        part = here.home / "data" / "engines" / ".downloads"
        wait_until(lambda: list(part.glob("*.part")), "something has come")
        wait_until(lambda: sum(p.stat().st_size for p in part.glob("*.part")), "bytes of it")
        process.send_signal(signal.SIGKILL)
    go_on.set()

    assert installed(here) == []
    assert here.run("up").code == 7
    here.ok("engine", "install", "--yes")
    assert installed(here) == [build.id]
    assert [asked for path, asked in outside.asked if path == build.path][-1] is not None


def test_without_network_it_is_one_error_at_once(machine: Callable[..., Installation]) -> None:
    here = machine("rtx5090")
    with an_outside() as gone:
        serve_build(gone, here)
    here.environment["LOCALLLM_ENGINE_MIRROR"] = gone.mirror

    ran = here.run("up", "--yes", within_s=20)

    assert ran.code == 6, ran
    assert "No engine could be fetched" in ran.err
    assert "--from" in ran.err


def test_a_disk_that_is_full_is_told_before_the_download(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    build = serve_build(outside, here)
    pins = here.home / "config" / "engines" / "test.toml"
    size = f"size = {len(build.archive)}"
    pins.write_text(pins.read_text().replace(size, "size = 900_000_000_000_000"))

    ran = here.run("engine", "install", "--yes")

    assert ran.code == 1, ran
    assert "There is no room for" in ran.err
    assert outside.asked == []


def test_a_machine_without_network_installs_from_a_folder(
    machine: Callable[..., Installation], outside: Outside, tmp_path: Path
) -> None:
    here = machine("rtx5090")
    build = serve_build(outside, here)
    brought = tmp_path / "brought"
    brought.mkdir()
    for path in [build.path, *(p for p in outside.files if p.endswith(".whl"))]:
        (brought / path.rsplit("/", 1)[-1]).write_bytes(outside.files[path])

    here.ok("engine", "install", "--from", str(brought))

    assert installed(here) == [build.id]
    assert outside.asked == []


def test_an_archive_of_ones_own_is_proved_and_used(
    machine: Callable[..., Installation], outside: Outside, tmp_path: Path
) -> None:
    here = machine(None, **vulkan_engine.ONE_DEVICE)
    program = vulkan_engine.program()
    archive = tmp_path / "my-llama.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(program.parent, "my-llama")

    here.ok("engine", "install", "--from", str(archive))

    builds = here.json("engine", "list")["builds"]
    assert [(b["drives"], b["in_use"]) for b in builds if b["installed"]] == [("vulkan", True)]
    assert "llvmpipe" in builds[0]["proved_on"]


def test_what_is_no_engine_is_refused(machine: Callable[..., Installation], tmp_path: Path) -> None:
    here = machine(None)
    archive = tmp_path / "holiday.tar.gz"
    archive.write_bytes(b"photographs")

    ran = here.run("engine", "install", "--from", str(archive))

    assert ran.code == 7, ran
    assert "holiday.tar.gz cannot be unpacked" in ran.err
    assert installed(here) == []


def test_versions_are_kept_side_by_side_and_rolled_back(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine("rtx5090")
    one = serve_build(outside, here, "test-one")
    two = serve_build(outside, here, "test-two")
    here.ok("engine", "install", one.id, "--yes")
    here.ok("engine", "install", two.id, "--yes")

    def in_use() -> list[str]:
        return [b["id"] for b in here.json("engine", "list")["builds"] if b["in_use"]]

    assert sorted(installed(here)) == ["test-one", "test-two"]
    assert in_use() == ["test-two"]
    here.ok("engine", "rollback")
    assert in_use() == ["test-one"]
    here.ok("engine", "use", "test-two")
    assert in_use() == ["test-two"]
    here.ok("engine", "rm", "test-one")
    assert installed(here) == ["test-two"]
    assert here.run("engine", "rollback").code == 7


def test_what_is_for_another_machine_is_not_fetched_and_the_nearest_name_is_told(
    machine: Callable[..., Installation], outside: Outside
) -> None:
    here = machine(None)
    serve_build(outside, here, "test-vulkan", drives="vulkan", packages=False)

    ran = here.run("engine", "install", "llama-b11146-cpu-x46", "--yes")

    assert ran.code == 7, ran
    assert "did you mean llama-b11146-cpu-x64?" in ran.err
    assert here.run("engine", "install", "test-vulkan", "--yes").code == 7, "there is no such card"
    assert outside.asked == []
