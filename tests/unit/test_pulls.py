"""Pulls are carried out by processes that end with the daemon; what is to go on goes on."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import filelock
import pytest

from localllm.errors import Busy, NotFound
from localllm.events import PullMoved
from localllm.store.job import PullJob
from localllm.store.shared_cache import CachedRepository
from localllm.supervisor import pulls as pulls_module
from localllm.supervisor.pulling_list import PullPolicy
from tests.fakes.a_yard import COMMIT, a_plan, a_yard, is_alive

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]

DAEMON = """
import anyio, sys
from pathlib import Path
from tests.fakes.a_yard import a_plan, a_yard

async def main():
    async with a_yard(Path(sys.argv[1])) as yard:
        yard.pulls.add(a_plan("waits"))
        print(await yard.begun("waits"), flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def halves(folder: Path, repo: str, letter: str) -> list[Path]:
    """Leave what a pull leaves that has not ended."""
    blob = CachedRepository(folder / "hub", repo).blob(letter * 64)
    blob.parent.mkdir(parents=True, exist_ok=True)
    made = [blob.with_name(f"{blob.name}.part"), blob.with_name(f"{blob.name}.part.journal")]
    for file in made:
        file.write_bytes(b"half")
    return made


async def test_two_run_at_once_and_the_third_waits_for_its_turn(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        for number in "123":
            yard.pulls.add(a_plan(f"waits-{number}"))
        await yard.begun("waits", 2)
        assert yard.states() == ["fetching", "fetching", "queued"]
        assert yard.pulls.book.views()[2].note == "waits for its turn"
        assert yard.pulls.under_way

        yard.go()

        await yard.until_states("done", "done", "done")
        assert [view.id for view in yard.pulls.book.views()] == ["p1", "p2", "p3"]
        assert not yard.pulls.under_way


async def test_what_is_done_says_so_and_that_all_of_it_is_here(tmp_path: Path) -> None:
    async with a_yard(tmp_path, connections=3) as yard:
        begun = yard.pulls.add(a_plan("waits", "a", "b"))
        await yard.until(lambda: yard.pulls.book.views()[0].here == 20)
        assert (begun.id, begun.model, begun.reason) == ("p1", "hf:o/waits", "it fits")
        assert yard.pulls.book.views()[0].note == "it takes its time"
        assert yard.noted("begin")[0]["connections"] == 3

        yard.go()

        await yard.until_states("done")
        view = yard.pulls.book.views()[0]
        assert (view.here, view.size, view.error) == (200_000, 200_000, None)
        assert [file.state for file in view.files] == ["done", "done"]
        await yard.until(lambda: yard.changes() == ["queued", "fetching", "done"])


async def test_pausing_kills_the_process_and_resuming_starts_another(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"))
        first = await yard.begun("waits")

        assert yard.pulls.pause("p1").state == "paused"
        await yard.until(lambda: not is_alive(first))
        assert yard.pulls.resume("p1").state in {"queued", "fetching"}

        assert await yard.begun("waits", 2) != first
        yard.go()
        await yard.until_states("done")


async def test_pausing_and_resuming_at_once_never_has_two_at_the_same_files(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"))
        for times in range(1, 6):
            pid = await yard.begun("waits", times)
            yard.pulls.pause("p1")
            assert yard.pulls.resume("p1").state == "queued"
            await yard.until(lambda: yard.states() == ["fetching"])
            assert not is_alive(pid)
        yard.go()
        await yard.until_states("done")


async def test_one_that_is_paused_gives_its_place_to_the_next(tmp_path: Path) -> None:
    async with a_yard(tmp_path, PullPolicy(at_once=1)) as yard:
        yard.pulls.add(a_plan("waits-1"))
        yard.pulls.add(a_plan("waits-2"))
        await yard.begun("waits-1")

        yard.pulls.pause("p1")

        await yard.begun("waits-2")
        assert yard.states() == ["paused", "fetching"]


async def test_the_end_of_the_daemon_ends_the_processes(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"))
        pid = await yard.begun("waits")
        assert is_alive(pid)

    assert not is_alive(pid)


async def test_a_process_that_heeds_nothing_is_ended_all_the_same(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("deaf-1"))
        first = await yard.begun("deaf-1")
        yard.pulls.pause("p1")
        with anyio.fail_after(5):
            await yard.until(lambda: not is_alive(first))
        yard.pulls.add(a_plan("deaf-2"))
        second = await yard.begun("deaf-2")

    assert not is_alive(second)


async def test_a_daemon_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DAEMON, str(tmp_path)]
    async with await anyio.open_process(command, cwd=ROOT) as daemon:
        assert daemon.stdout is not None
        pid = int(await daemon.stdout.receive())
        daemon.kill()

    with anyio.fail_after(10):
        while is_alive(pid):
            await anyio.sleep(0.01)


async def test_one_that_dies_is_tried_again_and_then_given_up_with_its_reason(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("dies"))

        await yard.until_states("failed")

        assert len(yard.noted("begin")) == 3
        error = yard.pulls.book.views()[0].error
        assert error is not None
        assert "killed by signal 9" in error.message
        yard.go()
        yard.pulls.resume("p1")
        await yard.until_states("done")
        assert yard.pulls.book.views()[0].error is None


@pytest.mark.parametrize(("does", "why"), [("exits", "exited with 3"), ("shuts", "exited with 0")])
async def test_one_that_ends_by_itself_without_a_word_has_failed(
    does: str, why: str, tmp_path: Path
) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan(does))

        await yard.until_states("failed")

        error = yard.pulls.book.views()[0].error
        assert error is not None
        assert why in error.message
        assert len(yard.noted("begin")) == 1


async def test_a_process_that_cannot_be_started_costs_its_pull_alone(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls._command = ["/no/such/program"]
        yard.pulls.add(a_plan("waits"))

        await yard.until_states("failed")

        error = yard.pulls.book.views()[0].error
        assert error is not None
        assert "No such file" in error.message


async def test_what_a_process_says_beside_is_no_news(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("babbles"))

        await yard.until_states("done")


async def test_a_refusal_is_kept_with_its_code_and_its_end_is_not_waited_for(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("refused"))
        pid = await yard.begun("refused")

        await yard.until_states("failed")

        error = yard.pulls.book.views()[0].error
        assert error is not None
        assert (error.code, error.message) == (
            "no_space",
            "Full.\n  why: it is\n  fix: empty it",
        )
        assert not is_alive(pid)
        yard.go()
        yard.pulls.add(a_plan("refused"))
        await yard.until_states("done")


async def test_who_asks_for_what_is_on_its_way_joins_it(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        first = yard.pulls.add(a_plan("waits"))
        await yard.begun("waits")

        assert yard.pulls.add(a_plan("waits")).id == first.id
        yard.pulls.pause("p1")
        assert yard.pulls.add(a_plan("waits")).state in {"queued", "fetching"}

        await yard.begun("waits", 2)
        assert len(yard.pulls.book.views()) == 1


async def test_what_is_on_disk_already_is_done_and_nobody_fetches_it(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        view = yard.pulls.add(a_plan("waits", on_disk=True))

        assert (view.id, view.state, view.files) == ("p1", "done", [])
        await yard.until(lambda: yard.changes() == ["done"])
        assert yard.noted("begin") == []


async def test_an_id_that_is_none_is_not_found(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        with pytest.raises(NotFound):
            yard.pulls.pause("p1")
        with pytest.raises(NotFound):
            yard.pulls.resume("p1")
        with pytest.raises(NotFound):
            await yard.pulls.cancel("p1")


async def test_more_than_can_be_kept_are_refused(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        for number in range(100):
            yard.pulls.add(a_plan(f"waits-{number}"))
            yard.pulls.pause(f"p{number + 1}")

        with pytest.raises(Busy):
            yard.pulls.add(a_plan("waits-more"))


async def test_cancelling_removes_what_has_come_and_that_alone(tmp_path: Path) -> None:
    whole = CachedRepository(tmp_path / "hub", "o/waits").blob("d" * 64)
    mine = halves(tmp_path, "o/waits", "a")
    shared, others = halves(tmp_path, "o/waits", "b"), halves(tmp_path, "o/waits", "e")
    locked, elsewhere = halves(tmp_path, "o/waits", "c"), halves(tmp_path, "o/waits-2", "a")
    whole.write_bytes(b"whole")
    lock = CachedRepository(tmp_path / "hub", "o/waits").lock("c" * 64)
    lock.parent.mkdir(parents=True)
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits", "a", "b", "c", "d"))
        await yard.begun("waits")
        yard.pulls.add(a_plan("waits", "b", "x"))
        pid = await yard.begun("waits", 2)

        with filelock.FileLock(lock):
            view = await yard.pulls.cancel("p1")

        assert (view.state, yard.states()) == ("cancelled", ["cancelled", "fetching"])
        assert not any(file.exists() for file in mine)
        assert all(file.exists() for file in (*shared, *others, *locked, *elsewhere, whole))
        assert is_alive(pid)


async def test_cancelling_leaves_no_empty_folder(tmp_path: Path) -> None:
    halves(tmp_path, "o/waits", "a")
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits", "a"))
        yard.pulls.pause("p1")

        await yard.pulls.cancel("p1")

    assert not CachedRepository(tmp_path / "hub", "o/waits").folder.exists()


async def test_cancelling_follows_no_link_out_of_the_cache(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    half = outside / f"{'a' * 64}.part"
    half.write_bytes(b"half")
    cached = CachedRepository(tmp_path / "hub", "o/waits")
    cached.folder.mkdir(parents=True)
    cached.blobs.symlink_to(outside)
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits", "a"))

        assert (await yard.pulls.cancel("p1")).state == "cancelled"

    assert half.exists()


async def test_one_that_was_cancelled_can_be_begun_anew(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"))
        await yard.pulls.cancel("p1")

        assert yard.pulls.add(a_plan("waits")).id == "p2"

        yard.go()
        await yard.until_states("cancelled", "done")
        yard.pulls.resume("p1")
        await yard.until_states("done", "done")


async def test_the_line_is_shared_among_those_that_run(tmp_path: Path) -> None:
    mib = 1 << 20
    async with a_yard(tmp_path, max_mib_per_s=8) as yard:
        yard.pulls.add(a_plan("waits-1"))
        await yard.begun("waits-1")
        assert yard.noted("begin", "waits-1")[0]["bytes_per_s"] == 8 * mib

        yard.pulls.add(a_plan("waits-2"))
        await yard.begun("waits-2")
        assert yard.noted("begin", "waits-2")[0]["bytes_per_s"] == 4 * mib
        await yard.until(lambda: len(yard.noted("pace", "waits-1")) == 1)

        yard.pulls.pause("p1")
        await yard.until(lambda: yard.noted("pace", "waits-2"))

        assert [n["bytes_per_s"] for n in yard.noted("pace", "waits-1")] == [4 * mib]
        assert [n["bytes_per_s"] for n in yard.noted("pace", "waits-2")] == [8 * mib]


async def test_progress_is_told_while_it_moves_and_not_while_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls_module, "_REPORT_EVERY_S", 0.05)
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("moves"))
        yard.pulls.add(a_plan("waits"))

        await yard.until(lambda: len([m for m in yard.moves() if m.pull == "p1"]) >= 4)

        moved = [move for move in yard.moves() if move.pull == "p1"]
        assert [m.here_bytes for m in moved] == sorted({m.here_bytes for m in moved})
        last = moved[-1]
        assert last == PullMoved(
            "p1", "hf:o/moves", last.here_bytes, 100_000, last.bytes_per_s, last.left_s
        )
        assert last.bytes_per_s is not None
        assert last.bytes_per_s > 0
        assert len([m for m in yard.moves() if m.pull == "p2"]) <= 1
        assert yard.pulls.book.views()[0].speed is not None


async def test_after_a_crash_those_go_on_that_ran_or_waited_and_paused_ones_stay(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits-1"))
        await yard.until(lambda: yard.pulls.book.views()[0].here == 10)
        yard.pulls.pause("p1")
        for number in "234":
            yard.pulls.add(a_plan(f"waits-{number}"))
        yard.pulls.add(a_plan("refused"))
        await yard.begun("waits", 3)
        before = yard.pulls.book.views()

    async with a_yard(tmp_path) as yard:
        await yard.begun("waits", 5)
        assert yard.states() == ["paused", "fetching", "fetching", "queued", "queued"]
        assert [v.id for v in yard.pulls.book.views()] == ["p1", "p2", "p3", "p4", "p5"]
        assert [v.model for v in yard.pulls.book.views()] == [v.model for v in before]
        assert yard.pulls.book.views()[0].here == before[0].here
        yard.go()
        await yard.until_states("paused", "done", "done", "done", "done")
        assert yard.pulls.add(a_plan("waits-6")).id == "p6"


async def test_ids_count_on_though_all_have_ended(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.go()
        yard.pulls.add(a_plan("waits"))
        await yard.until_states("done")

    async with a_yard(tmp_path) as yard:
        assert yard.pulls.book.views() == []
        assert yard.pulls.add(a_plan("waits")).id == "p2"


async def test_a_failed_one_keeps_its_error_over_a_restart(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("refused"))
        await yard.until_states("failed")
        before = yard.pulls.book.views()

    async with a_yard(tmp_path) as yard:
        assert yard.pulls.book.views()[0].error == before[0].error
        assert len(yard.noted("begin")) == 1


async def test_who_says_that_nothing_is_to_run_has_all_paused_for_the_next_time(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        for number in "123":
            yard.pulls.add(a_plan(f"waits-{number}"))
        pid = await yard.begun("waits", 2)
        yard.pulls.pause_all("the daemon was told to stop")
        yard.pulls.close()
        await yard.until(lambda: not is_alive(pid))
        assert yard.states() == ["paused"] * 3

    async with a_yard(tmp_path) as yard:
        assert yard.states() == ["paused"] * 3
        assert len(yard.noted("begin")) == 2


async def test_a_daemon_that_stops_ends_the_processes_at_once_and_starts_no_more(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        for number in "123":
            yard.pulls.add(a_plan(f"waits-{number}"))
        await yard.begun("waits", 2)
        pids = [note["pid"] for note in yard.noted("begin")]

        yard.pulls.close()

        await yard.until(lambda: not any(map(is_alive, pids)))
        assert yard.states() == ["queued"] * 3
        yard.pulls.add(a_plan("waits-4"))
        assert yard.states() == ["queued"] * 4

    async with a_yard(tmp_path) as yard:
        await yard.begun("waits", 4)
        assert yard.states() == ["fetching", "fetching", "queued", "queued"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"version":1,"last":1,"pulls":[{"id":"p1"}]}',
    ],
)
async def test_a_file_that_cannot_be_read_is_set_aside(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "state" / "pulls.json"
    file.parent.mkdir()
    file.write_bytes(content)

    async with a_yard(tmp_path) as yard:
        assert yard.pulls.book.views() == []
        yard.pulls.add(a_plan("waits"))

    assert file.with_name("pulls.json.broken").read_bytes() == content
    assert json.loads(file.read_bytes())["last"] == 1


async def test_a_file_of_a_newer_version_stays_as_it_is_and_pulls_go_on(tmp_path: Path) -> None:
    file = tmp_path / "state" / "pulls.json"
    file.parent.mkdir()
    file.write_bytes(newer := b'{"version":2,"last":1,"pulls":[],"news":1}')

    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"))
        await yard.begun("waits")

    assert file.read_bytes() == newer
    assert list(file.parent.iterdir()) == [file]


async def test_what_is_kept_is_its_users_alone(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"))

    file = tmp_path / "state" / "pulls.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["pulls.json"]


async def test_a_full_disk_costs_the_memory_of_pulls_and_not_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with a_yard(tmp_path) as yard:
        monkeypatch.setattr("localllm.versioned.os.replace", full)
        yard.go()
        yard.pulls.add(a_plan("waits"))
        await yard.until_states("done")
        monkeypatch.undo()
        yard.pulls.add(a_plan("waits", "b"))
        await yard.until_states("done", "done")

    assert json.loads((tmp_path / "state" / "pulls.json").read_bytes())["last"] == 2


async def test_a_process_carries_the_mark_by_which_orphans_are_found(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"))
        pid = await yard.begun("waits")

        assert os.getsid(pid) == pid, "Ctrl-C at the daemon is no business of it"
        environment = Path(f"/proc/{pid}/environ")
        if environment.exists():  # as on Linux
            assert f"LOCALLLM_ENGINE_OF={tmp_path / 'state'}".encode() in environment.read_bytes()
        os.kill(pid, signal.SIGKILL)
        await yard.begun("waits", 2)


async def test_a_paused_pull_of_what_somebody_else_has_brought_is_done(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits", "a"))
        await yard.begun("waits")
        yard.pulls.pause("p1")
        await yard.until_states("paused")

        here = replace(a_plan("waits", "a"), on_disk=True, job=PullJob("", "", ()))
        yard.pulls.add(here)

        assert [view.state for view in yard.pulls.book.views()] == ["done", "done"]


async def test_contents_that_are_on_their_way_are_nobodys_to_remove(tmp_path: Path) -> None:
    blob = CachedRepository(tmp_path / "hub", "o/waits").blob("a" * 64)
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits", "a"))
        [claim] = yard.pulls.claims()
        assert {blob, blob.with_name(f"{blob.name}.part")} < claim.contents
        assert not claim.at_rest

        yard.go()
        await yard.until_states("done")

        assert yard.pulls.claims() == []
        assert yard.pulls.book.views()[0].commit == COMMIT
