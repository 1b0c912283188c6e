"""Replays that were kept: a file for each, in a folder of their own beside the saved runs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from localllm.api.replay_views import FORMAT, ReplaysView, ReplayView
from localllm.bench.saved import drop_oldest
from localllm.versioned import replace_private

_FOLDER = "replays"


class _Format(msgspec.Struct):
    format: int


def save_replay(benches: Path, view: ReplayView) -> ReplayView:
    """Write a replay, whole or not at all, and say where.

    Raises:
        OSError: It cannot be written.
    """
    folder = benches / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{view.id}.json"
    kept = msgspec.structs.replace(view, saved=str(file))
    replace_private(file, msgspec.json.format(msgspec.json.encode(kept), indent=1))
    drop_oldest(folder, FORMAT)
    return kept


def read_replays(benches: Path) -> ReplaysView:
    """Read all, the newest first; what cannot be read stays as it is, and is named."""
    views, left_out = list[ReplayView](), list[str]()
    for file in sorted((benches / _FOLDER).glob("*.json"), reverse=True):
        try:
            text = file.read_bytes()
            if msgspec.json.decode(text, type=_Format).format > FORMAT:
                left_out.append(f"{file.name}: a newer localllm wrote it")
            else:
                views.append(msgspec.json.decode(text, type=ReplayView))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            left_out.append(f"{file.name}: {error}")
    return ReplaysView(replays=views, left_out=left_out)


def last_of(replays: ReplaysView, view: ReplayView) -> ReplayView | None:
    """Find the newest one before of the same traffic, sent to the same model in the same way."""

    def key(one: ReplayView) -> tuple[str, float | None, int, str, bool]:
        return Path(one.traffic).name, one.recorded_at, one.sent, one.model.id, one.closed

    earlier = (one for one in replays.replays if one.id != view.id and not one.interrupted)
    return next((one for one in earlier if key(one) == key(view)), None)
