"""Sees to an engine where a model cannot be served without one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from localllm.api.views import ServeRequest
from localllm.cli.conventions import say
from localllm.cli.outside import not_fetched
from localllm.cli.permission import Permission
from localllm.errors import EngineNeeded, EngineUnusable, LocalLLMError
from localllm.paths import Paths

if TYPE_CHECKING:  # heavy
    from collections.abc import Sequence

    from localllm.engines.builds.fitting import Candidate
    from localllm.formats.header import Format
    from localllm.hardware.machine import Machine
    from localllm.planning.desk import Desk


def with_engine_here(paths: Paths, wanted: ServeRequest, may: Permission) -> ServeRequest:
    """See to an engine before there is a daemon to ask."""
    from localllm.cli.get_engine import a_desk  # noqa: PLC0415  # rarely needed
    from localllm.formats.header import Format  # noqa: PLC0415

    desk = a_desk(paths)
    model = desk.resolved(wanted)[0].model
    stored = None if model is None else desk.on_disk(model)
    if stored is not None and stored.format is not Format.GGUF:
        return wanted  # an engine for it cannot be fetched: the daemon says what it has
    error = what_lacks(desk, wanted, Format.GGUF)
    return wanted if error is None else with_engine_for(paths, wanted, error, may)


def what_lacks(desk: Desk, wanted: ServeRequest, format_: Format) -> EngineNeeded | None:
    """Look whether an engine is to be fetched before a format runs on the accelerator.

    Raises:
        EngineUnusable: None that could be fetched would help, and the processor is not allowed.
    """
    on_device, seen = msgspec.structs.replace(wanted, allow_cpu=False), desk.survey()
    try:
        desk.engine_desk.choose(seen, on_device, format_)
    except EngineNeeded as error:
        return error
    except EngineUnusable:
        if not wanted.allow_cpu:
            raise
        desk.engine_desk.choose(seen, wanted, format_)
    return None


def with_engine_for(
    paths: Paths, wanted: ServeRequest, error: EngineUnusable, may: Permission
) -> ServeRequest:
    """Fetch an engine that cures the error; say how to ask for the model then.

    Raises:
        LocalLLMError: None can be had, and the processor is not allowed.
    """
    from localllm.cli.get_engine import a_desk  # noqa: PLC0415  # rarely needed

    nobody = not may.yes and not sys.stdin.isatty()
    if wanted.allow_cpu and (nobody or may.offline):
        return wanted
    desk = a_desk(paths)
    machine = desk.probe()
    curing = curing_builds(desk, machine, wanted, error)
    if not curing:
        return wanted
    if may.offline:
        raise not_fetched(f"An engine ({curing[0].build.title})", os.environ) from error
    return install(desk, machine, curing, wanted, yes=may.yes)


def curing_builds(
    desk: Desk, machine: Machine, wanted: ServeRequest, error: EngineUnusable
) -> Sequence[Candidate]:
    """The builds that may be fetched to cure an error; none where the processor will do.

    Raises:
        EngineUnusable: There are none, or the user sees to it with a program of their own.
    """
    curing = desk.engine_desk.curing(machine, wanted)
    if not curing and not wanted.allow_cpu:
        own = desk.settings.llama_server is not None
        raise _with_own_program(error, desk.paths) if own else error
    return curing


def install(
    desk: Desk,
    machine: Machine,
    curing: Sequence[Candidate],
    wanted: ServeRequest,
    *,
    yes: bool,
) -> ServeRequest:
    """Install the first that works; say how to ask for the model then."""
    from localllm.cli.get_engine import get_engine  # noqa: PLC0415  # rarely needed

    try:
        get_engine(desk, machine, curing, yes=yes)
    except LocalLLMError as failed:
        if not wanted.allow_cpu:
            raise
        say(f"{failed.what} It runs on the processor, as you allow.\n  why: {failed.why}")
        return wanted
    return msgspec.structs.replace(wanted, allow_cpu=False)


def _with_own_program(error: EngineUnusable, paths: Paths) -> EngineUnusable:
    """What to do where a program of the user's own goes before any that could be fetched."""
    instead = f"take llama_server out of {paths.config_file}, and `localllm up` fetches a build"
    return EngineUnusable(error.what, why=error.why, fix=f"{error.fix}; or {instead}")
