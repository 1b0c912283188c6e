"""Draw what an uninstallation takes away, and what it leaves. Pure."""

from __future__ import annotations

import msgspec

from localllm.cli.tables import table
from localllm.units import size
from localllm.wording.figures import counted

_MOST_SHOWN = 20


class FolderView(msgspec.Struct, frozen=True):
    folder: str
    files: int
    """Ours."""

    bytes: int


class UninstallView(msgspec.Struct, frozen=True, kw_only=True):
    """What `uninstall --json` says."""

    daemon: bool
    """One runs."""

    service: str | None
    """Its file."""

    folders: list[FolderView]
    agents: list[str]
    """Whose files are put back."""

    settings: list[str]
    completion: list[str]
    """Files that complete commands in shells."""

    kept: list[str]
    """As was asked for."""

    foreign: list[str]
    """In localllm's folders, and not its own."""

    models_folder: str
    models: int
    model_bytes: int
    program: str
    """How it is removed."""


def render_uninstall(view: UninstallView) -> list[str]:
    """Draw it for people."""
    goes = ["the daemon, drained first"] * view.daemon
    goes += [f"the service: {view.service}"] * (view.service is not None)
    goes += [f"what was written into the files of {agent}" for agent in view.agents]
    goes += [f"settings: {file}" for file in view.settings]
    goes += [f"completion in a shell: {file}" for file in view.completion]
    rows = [
        ["  " + one.folder, counted(one.files, "file"), size(one.bytes)]
        for one in view.folders
        if one.files
    ]
    lines = ["goes:", *(f"  {line}" for line in goes), *(table(rows) if rows else [])]
    if len(lines) == 1:
        lines = ["there is nothing to remove"]
    return [*lines, "", "stays:", *(f"  {line}" for line in _stays(view))]


def _stays(view: UninstallView) -> list[str]:
    models = counted(view.models, "model")
    lines = [
        f"{models} in {view.models_folder}, {size(view.model_bytes)}, shared with other programs "
        "(localllm rm removes them, while localllm is here)"
    ]
    lines += [f"{one}, as you asked" for one in view.kept]
    lines += [f"not localllm's: {file}" for file in view.foreign[:_MOST_SHOWN]]
    more = len(view.foreign) - _MOST_SHOWN
    lines += [f"and {more} more"] * (more > 0)
    return [*lines, f"the program itself, which is removed by: {view.program}"]
