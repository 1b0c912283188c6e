"""`ls`, `rm`, `gc` and `verify` as a shell sees them, with a daemon and without."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.api.store_views import RemovedView
from localllm.errors import InUse, ModelNotFound, NoSuchEndpoint
from localllm.metrics.ledger_row import row_of
from localllm.metrics.ledger_store import Keep, Store
from localllm.store.repository import RepositoryFile
from localllm.store.shared_cache import CachedRepository
from tests.unit.agents.an_endpoint import instance
from tests.unit.cli.a_hub_user import HubUser
from tests.unit.cli.a_pull import GIB, a_leftover, a_model, a_pull, a_store
from tests.unit.cli.a_scripted_daemon import ScriptedDaemon, a_scripted_daemon
from tests.unit.formats.a_gguf import a_file, a_header
from tests.unit.metrics.a_live import World

REPO, COMMIT = "me/Tiny-GGUF", "c" * 40
NAME = "hf:me/Tiny-GGUF:F32"
STORE, TIDY = "GET store", "POST store/gc"


@pytest.fixture
def user(tmp_path: Path) -> HubUser:
    return HubUser(tmp_path)


@pytest.fixture
def daemon(user: HubUser) -> Iterator[ScriptedDaemon]:
    with a_scripted_daemon(user.state, user.environment) as scripted:
        scripted.will(STORE, a_store(a_model(served=True), leftovers=[a_leftover()]))
        yield scripted


@pytest.fixture
def model(user: HubUser) -> Path:
    """A model in the shared cache, and where its contents are."""
    data = a_file(a_header())
    cached = CachedRepository(user.cache, REPO)
    cached.make()
    file = RepositoryFile("Tiny-F32.gguf", len(data), sha256=hashlib.sha256(data).hexdigest())
    assert file.etag
    cached.blob(file.etag).write_bytes(data)
    cached.link(COMMIT, file.path, file.etag)
    cached.write_ref("main", COMMIT)
    return cached.blob(file.etag)


def test_ls_shows_what_is_here_without_a_daemon(user: HubUser, model: Path) -> None:
    shown = user.ok("ls", "--no-fit").stdout

    document = user.json("ls")
    mine = next(one for one in document["models"] if one["name"] == NAME)
    assert NAME in shown
    assert (mine["quant"], mine["size"], mine["where"]) == (
        "F32",
        model.stat().st_size,
        "huggingface",
    )
    assert mine["path"].endswith("Tiny-F32.gguf")


def test_ls_asks_a_daemon_which_knows_what_is_served(user: HubUser, daemon: ScriptedDaemon) -> None:
    shown = user.ok("ls").stdout.splitlines()

    assert shown[1].startswith("*  m:Q4_K_M")
    assert shown[-1].startswith("left over: 1 half file of a pull (1.0 GiB); localllm gc")


def test_rm_frees_the_disk(user: HubUser, model: Path) -> None:
    size = model.stat().st_size

    removed = user.json("rm", NAME, "--yes")

    assert removed == {"removed": [NAME], "freed": size, "kept": []}
    assert not model.exists()


def test_rm_asks_on_a_terminal_and_takes_no_by_default(user: HubUser, model: Path) -> None:
    no_code, no = user.on_a_terminal("rm", NAME, types="\n")
    assert model.exists()
    yes_code, yes = user.on_a_terminal("rm", NAME, types="y\n")

    assert f"remove {NAME} (2 KiB)? [y/N]" in no
    assert (no_code, yes_code) == (1, 0)
    assert "you said no" in no
    assert "removed:" in yes
    assert not model.exists()


@pytest.mark.parametrize("words", [["rm", NAME], ["gc", "--max-size", "0"]])
def test_nothing_is_removed_where_nobody_can_be_asked(
    user: HubUser, model: Path, words: list[str]
) -> None:
    ran = user.run(*words)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "--yes" in ran.stderr
    assert model.exists()


def test_rm_of_several_says_what_went_before_the_one_that_cannot(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will("DELETE store/a", RemovedView(removed=["a"], freed=GIB, kept=[]))
    daemon.will("DELETE store/b", InUse("b is served.", why="it is", fix="stop it"))

    ran = user.run("rm", "a", "b", "--yes")

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.splitlines() == [
        "removed:",
        "  a",
        "freed 1.0 GiB",
        "localllm: b is served.",
        "  why: it is",
        "  fix: stop it",
    ]


def test_rm_of_what_is_not_here_has_the_code_for_that(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will("DELETE store/hf%3Ame%2Fx", ModelNotFound("No.", why="so", fix="ls"))

    assert user.run("rm", "hf:me/x", "--yes").returncode == 5


def test_rm_of_what_is_not_here_asks_nothing(user: HubUser, model: Path) -> None:
    ran = user.run("rm", "hf:me/Tiny-GGUF:F33")

    assert ran.returncode == 5, ran
    assert "is not on this disk" in ran.stderr


@pytest.mark.parametrize("words", [["--yes"], []])
def test_rm_of_what_is_still_being_pulled_says_how_that_ends(
    user: HubUser, daemon: ScriptedDaemon, words: list[str]
) -> None:
    daemon.will("DELETE store/m", ModelNotFound("m is not on this disk.", why="so", fix="ls"))
    daemon.will("GET pulls", [a_pull(state="paused")])

    ran = user.run("rm", "m", *words)

    assert ran.returncode == 5, ran
    assert "its pull has not ended" in ran.stderr
    assert "localllm pull m --cancel" in ran.stderr


def elsewhere(user: HubUser) -> None:
    """Ask another hub than the daemon does, for the same cache."""
    user.environment["HF_ENDPOINT"] = "http://127.0.0.1:1"


def named_by(model: Path) -> str:
    [name] = model.parents[1].glob("snapshots/*/*.gguf")
    return str(name)


def test_beside_a_daemon_of_other_surroundings_the_cache_of_this_shell_counts(
    user: HubUser, daemon: ScriptedDaemon, model: Path
) -> None:
    elsewhere(user)
    daemon.will(STORE, a_store(a_model(NAME, path=named_by(model), served=False)))

    shown = user.ok("ls", "--no-fit").stdout
    user.ok("rm", NAME, "--yes")

    assert NAME in shown
    assert not model.exists()
    assert {call for call, _ in daemon.asked} == {STORE}


@pytest.mark.parametrize("is_old", [False, True])
def test_what_a_daemon_of_other_surroundings_serves_stays(
    user: HubUser, daemon: ScriptedDaemon, model: Path, is_old: bool
) -> None:
    elsewhere(user)
    daemon.will(STORE, a_store(a_model(NAME, path=named_by(model), served=True)))
    if is_old:
        daemon.will(STORE, NoSuchEndpoint("There is no such path.", why="-", fix="-"))
        daemon.will("GET models", [instance("tiny-f32")])

    refused = user.run("rm", NAME, "--yes")
    tidied = user.json("gc", "--older-than", "0s", "--yes")
    [listed] = [one for one in user.json("ls", "--no-fit")["models"] if one["name"] == NAME]

    assert "is being served" in refused.stderr
    assert tidied["removed"] == []
    assert listed["served"]
    assert model.exists()


def pinned(user: HubUser) -> None:
    (user.state / "serving.json").write_text('{"format": 1, "serving": [], "pinned": ["tiny-f32"]}')


def pulled(user: HubUser) -> None:
    pull = {"id": "p1", "wanted": {"model": "m", "job": {"repo": REPO, "commit": COMMIT}}}
    (user.state / "pulls.json").write_text(json.dumps({"version": 1, "pulls": [pull]}))


@pytest.mark.parametrize(("write", "why"), [(pinned, "is pinned"), (pulled, "has not ended")])
def test_gc_without_a_daemon_spares_what_the_last_one_has_noted(
    user: HubUser, model: Path, write: Callable[[HubUser], None], why: str
) -> None:
    user.state.mkdir(parents=True)
    write(user)

    view = user.json("gc", "--older-than", "0s", "--yes")

    assert why in view["kept"][0]
    assert model.exists()


def a_ledger(file: Path, model: str, began_at: float) -> None:
    store = Store(file, Keep())
    row = row_of(World(began_at=began_at).answered(tokens=3), "claude-cli")
    store.write([replace(row, model=model)])
    store.close()


def test_gc_without_a_daemon_knows_when_models_were_asked_last(user: HubUser, model: Path) -> None:
    ago = time.time() - 40 * 86_400
    os.utime(model, (ago, ago))
    user.state.mkdir(parents=True)
    a_ledger(user.state / "requests.sqlite3", "tiny-f32", time.time())

    kept = user.json("gc", "--older-than", "30d", "--yes")["removed"]
    (user.state / "requests.sqlite3").unlink()
    os.utime(model, (ago, ago))
    gone = user.json("gc", "--older-than", "30d", "--yes")["removed"]

    assert (kept, gone) == ([], [NAME])


def test_notes_that_are_broken_keep_gc_from_nothing(user: HubUser, model: Path) -> None:
    user.state.mkdir(parents=True)
    for name in ("serving.json", "pulls.json", "requests.sqlite3"):
        (user.state / name).write_bytes(b"\xff nonsense")

    assert user.json("gc", "--older-than", "0s", "--yes")["removed"] == [NAME]


def test_gc_says_first_what_would_go_and_then_removes_it(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(TIDY, RemovedView(removed=["a"], freed=GIB, kept=["b is in use"]))

    ran = user.ok("gc", "--older-than", "30d", "--max-size", "1.5G", "--yes")

    first, second = daemon.bodies(TIDY)
    assert first == {"older_than": 30 * 86_400, "max_size": 1536 << 20, "dry_run": True}
    assert second == {**first, "dry_run": False}
    assert ran.stderr.startswith("would be removed:\n  a\nfrees 1.0 GiB")
    assert ran.stdout == "removed:\n  a\nfreed 1.0 GiB\nkept: b is in use\n"


@pytest.mark.parametrize("words", [["--dry-run"], []])
def test_gc_removes_nothing_on_trial_or_where_there_is_nothing(
    user: HubUser, daemon: ScriptedDaemon, words: list[str]
) -> None:
    found = ["a"] if words else []
    daemon.will(TIDY, RemovedView(removed=found, freed=0, kept=[]))

    user.ok("gc", *words)

    assert [body["dry_run"] for body in daemon.bodies(TIDY)] == [True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-size", "much"], "a size is 500M, 100G or 1.5T"),
        (["--older-than", "long"], "is no duration"),
    ],
)
def test_gc_says_how_ages_and_sizes_are_written(user: HubUser, words: list[str], said: str) -> None:
    ran = user.run("gc", *words)

    assert ran.returncode == 2
    assert said in ran.stderr


@pytest.mark.parametrize(("damaged", "code"), [(False, 0), (True, 1)])
def test_verify_reads_the_files_again_and_exits_with_1_if_one_is_damaged(
    user: HubUser, model: Path, damaged: bool, code: int
) -> None:
    if damaged:
        model.write_bytes(model.read_bytes()[:-1] + b"?")

    ran = user.run("verify", NAME)

    assert (ran.returncode, ran.stderr) == (code, "")
    assert ("damaged: " in ran.stdout) is damaged


def test_verify_shows_on_a_terminal_how_far_it_is_and_leaves_the_result_alone(
    user: HubUser, model: Path
) -> None:
    code, shown = user.on_a_terminal("verify", NAME)

    assert code == 0
    assert shown.split("\x1b[2K")[-1].startswith("1 file is what the hub has")


@pytest.mark.parametrize("verb", ["rm", "verify", "pull", "up", "switch", "run"])
def test_a_shell_completes_names_of_models(user: HubUser, model: Path, verb: str) -> None:
    user.environment |= {
        "_LOCALLLM_COMPLETE": "zsh_complete",
        "COMP_WORDS": f"localllm {verb} ",
        "COMP_CWORD": "2",
    }
    code = "import sys; sys.argv[0] = 'localllm'; from localllm.cli.main import cli; cli(prog_name='localllm')"

    out = subprocess.check_output(
        [sys.executable, "-c", code], env=user.environment, cwd=user.home, text=True
    )

    catalog = "qwen3-8b" in out.split()
    assert "me/Tiny-GGUF:F32" in out.replace("\\:", ":").split() or "me/Tiny-GGUF\\:F32" in out
    assert catalog is (verb not in {"rm", "verify"})


def test_nothing_heavy_is_loaded_before_a_verb_runs() -> None:
    heavy = {"huggingface_hub", "aiohttp", "anyio", "localllm.planning.desk"}
    modules = ("pull", "ls", "rm", "gc", "verify", "up", "switch", "run")
    code = "; ".join(["import sys", *(f"import localllm.cli.{m}" for m in modules)])
    said = subprocess.check_output(
        [sys.executable, "-c", f"{code}; print(*sys.modules)"], text=True
    )

    assert not heavy & set(said.split())
