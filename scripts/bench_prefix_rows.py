"""What happens between two turns, one after the other; each leaves the conversation warm for the next."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from bench_prefix_place import FULL_BYTES, Place
from bench_prefix_talks import AT_MOST_TOKENS, Row, Talks, worst

MAIN = "claude"
UNUSED = "never used, engine alive"
SERVES = "serving goes on, nothing half left"
PRIVATE = "files for their user only"
NOTHING_SAVED = "no saved file"


def measure(place: Place, talks: Talks, rounds: int) -> Iterator[Row]:
    """Measure all there is, in an order that needs few cold turns."""
    yield talks.begin(MAIN, "claude-code")
    yield talks.go_on(MAIN, "second turn")
    yield from _survived(place, talks)
    yield talks.begin("opencode", "opencode")
    yield talks.go_on("opencode", "second turn")
    two = (MAIN, "opencode")
    yield taking_turns(talks, two, rounds, "two agents taking turns on two slots")
    yield talks.begin("codex", "codex")
    yield talks.go_on("codex", "second turn")
    yield talks.begin("claude, another project", "claude-code")
    four = (*two, "codex", "claude, another project")
    yield taking_turns(talks, four, rounds, "four agents taking turns on two slots")
    yield talks.begin_again("claude, billed", MAIN, "2.1.330.a1b")
    yield from _harmed(place, talks)


def _survived(place: Place, talks: Talks) -> Iterator[Row]:
    talks.in_between(MAIN)
    yield talks.go_on(MAIN, "after a title, a summary, a count, another client")
    _switch_and_back(place, talks)
    yield talks.go_on(MAIN, "after a switch to another model and back")
    place.unload()
    place.wake()
    yield talks.go_on(MAIN, "after unload")
    place.down()
    place.up()
    yield talks.go_on(MAIN, "after down and up")
    place.settle()
    place.kill_engine()
    yield talks.go_on(MAIN, "after SIGKILL to the engine")
    place.settle()
    place.kill_daemon()
    yield talks.go_on(MAIN, "after SIGKILL to the daemon, and up")


def _harmed(place: Place, talks: Talks) -> Iterator[Row]:
    talks.go_on(MAIN, "warm again")
    yield _private(place)
    yield _spoiled(place, talks, "saved files truncated", _truncate)
    yield _spoiled(place, talks, "saved files overwritten with garbage", _overwrite)
    yield _replaced(place, talks)
    yield _spoiled(place, talks, "saved by another build of the engine", _of_another_build)
    yield _spoiled(place, talks, "saved in an older format", _older)
    yield _spoiled(place, talks, "saved in a newer format", _newer)
    yield _full_disk(place, talks)


def _switch_and_back(place: Place, talks: Talks) -> None:
    place.switch(back=False)
    talks.elsewhere(Path(place.other).stem)
    place.switch(back=True)


def taking_turns(talks: Talks, names: tuple[str, ...], rounds: int, row: str) -> Row:
    """Have each go on in turn; the first round brings them to where they were left."""
    for name in names:
        talks.go_on(name, row)
    return worst(row, [talks.go_on(name, row) for _ in range(rounds) for name in names])


def _private(place: Place) -> Row:
    place.settle()
    if not place.saved():
        return Row("saved files", target=PRIVATE, met=False, note=NOTHING_SAVED)
    everything = [place.folder, *place.folder.rglob("*")]
    seen = [one.name for one in everything if one.stat().st_mode & 0o077]
    held = f"{len(place.saved())} of {sum(f.stat().st_size for f in place.saved()) >> 20} MiB"
    return Row("saved files", target=PRIVATE, met=not seen, note=" ".join([held, *seen]))


def _spoiled(place: Place, talks: Talks, name: str, spoil: Callable[[Path], None]) -> Row:
    place.unload()
    files = place.saved()
    for file in files:
        spoil(file)
    return _unused(place, talks, name, spoiled=len(files))


def _replaced(place: Place, talks: Talks) -> Row:
    before = set(place.saved())
    _switch_and_back(place, talks)
    theirs = [one for one in place.saved() if one not in before]
    talks.go_on(MAIN, "warm again")
    place.unload()
    mine = [one for one in place.saved() if one not in theirs] if theirs else []
    for file in mine:
        shutil.copyfile(theirs[-1], file)
    return _unused(place, talks, "saved files replaced by another model's", spoiled=len(mine))


def _unused(place: Place, talks: Talks, name: str, *, spoiled: int) -> Row:
    """Go on with what was spoiled: nothing of it may be used, and nothing may break."""
    crashes = place.crashes()
    place.wake()
    row = talks.go_on(MAIN, name)
    answered = not row.note
    died = place.crashes() - crashes
    used = (row.cached_tokens or 0) > AT_MOST_TOKENS
    notes = [row.note, NOTHING_SAVED * (not spoiled), "used" * used, "engine died" * bool(died)]
    met = answered and bool(spoiled) and not used and not died
    return replace(row, target=UNUSED, met=met, note=", ".join(filter(None, notes)))


def _full_disk(place: Place, talks: Talks) -> Row:
    """Stand-in for a full disk: the engine may write no file beyond a bound."""
    name = "saving with the disk full"
    place.settle()
    if not place.fill_disk():
        return Row(name, target=SERVES, note="not tried: a bound would kill this engine")
    crashes, had = place.crashes(), bool(place.saved())
    during = talks.go_on(MAIN, name)
    place.settle()
    half = [one for one in place.saved() if one.stat().st_size <= FULL_BYTES]
    place.unload()
    place.wake()
    after = talks.go_on(MAIN, name)
    died = place.crashes() > crashes
    notes = [during.note, after.note, NOTHING_SAVED * (not had)]
    notes += ["engine died" * died, "a half file is left" * bool(half)]
    met = not any(notes)
    return replace(after, target=SERVES, met=met, note=", ".join(filter(None, notes)))


def _truncate(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def _overwrite(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(secrets.token_bytes(file.stat().st_size))


def _of_another_build(file: Path) -> None:
    """Its key is of all that it depends on, the engine's build among it."""
    _rewrite(file, key=secrets.token_hex(32))


def _older(file: Path) -> None:
    _rewrite(file, format=0)


def _newer(file: Path) -> None:
    _rewrite(file, format=1000)


def _rewrite(file: Path, **changes: object) -> None:
    """Change what stands beside a saved prompt."""
    beside = file.with_suffix(".json")
    if beside.exists():  # one that was spoiled before may have been removed meanwhile
        beside.write_text(json.dumps({**json.loads(beside.read_text()), **changes}))
