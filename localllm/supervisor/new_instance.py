"""Makes an instance out of a plan: its name, its runner, its lobby. Starts nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from localllm.engine_client.client import EngineClient, Speed
from localllm.engines.base import LaunchSpec, Serving
from localllm.events import DeviceId, InstanceId
from localllm.planning.planner import Planned
from localllm.supervisor.admission import Room
from localllm.supervisor.examinee import Examinee
from localllm.supervisor.hosted import Hosted, Terms
from localllm.supervisor.instance import Instance
from localllm.supervisor.lobby import Lobby
from localllm.supervisor.runner import Runner
from localllm.supervisor.tools import Tools
from localllm.supervisor.watching import EngineProbe

_log = logging.getLogger(__name__)

_LONG_TOKENS, _LONG_SHARE = 1024, 8
"""A prompt of so many tokens, and of a part of the context, is a long one."""

_PATIENCE_S = 30.0
"""A long prompt that has waited so long for room in the cache goes before whatever came later."""


class DeviceGone(Exception):
    """The device that a model is on does not answer any more."""


def make_instance(
    planned: Planned,
    serving: Serving,
    terms: Terms,
    tools: Tools,
    *,
    taken: Container[InstanceId],
    takes_over: Callable[[InstanceId], bool],
) -> Hosted:
    """Make one that is stopped.

    Args:
        taken: Names that others have.
        takes_over: Whether it is to take over from one that serves; asked once it is warm.
    """
    name = _free_name(planned.instance, taken)

    async def check(client: EngineClient, speed: Speed) -> Sequence[str]:
        how = hosted.terms.check  # as it was asked for last
        examinee = Examinee(planned, serving, name, how, speed)
        return () if how == "off" else await tools.check(examinee, client)

    probe = EngineProbe(
        serving,
        tools.connect,
        record=lambda measured: tools.record(planned, measured),
        examine=lambda heard: tools.examine(planned, heard),
        takes_over=lambda: takes_over(name),
        check=check,
    )
    log = tools.logs / f"{name.replace(':', '-')}.log"
    facts = Instance(name, planned.model, planned.need)
    runner = Runner(
        facts, lambda: _launch(planned, serving, tools), probe, tools.bus, log, tools.policy
    )
    runner.farewell = tools.farewell
    lobby = Lobby(room_of(planned, tools.cache_share), tools.numbers)
    hosted = Hosted(planned, serving, runner, log, anyio.current_time(), lobby, terms)
    return hosted  # `check` looks at it


def unless_lost(
    launch: Callable[[Planned, Serving], LaunchSpec], lost: Mapping[DeviceId, str]
) -> Callable[[Planned, Serving], LaunchSpec]:
    """Have nothing started on a device that does not answer.

    Args:
        lost: By device, why; looked at before each start, which then raises DeviceGone.
    """

    def launched(planned: Planned, serving: Serving) -> LaunchSpec:
        for device, _, _ in planned.used:
            if device.id in lost:
                raise DeviceGone(f"{device.name} is lost: {lost[device.id]}")
        return launch(planned, serving)

    return launched


def is_same(hosted: Hosted, planned: Planned, serving: Serving, terms: Terms) -> bool:
    """Tell whether it is exactly this: the file, the engine and all its settings."""
    alike = _key(hosted.planned, hosted.serving) == _key(planned, serving)
    return alike and hosted.terms.lane is terms.lane


def _key(planned: Planned, serving: Serving) -> tuple[object, ...]:
    """What makes two instances the same. The rest follows from what is free at the moment."""
    installed = planned.choice.installed
    settings = replace(serving, host_cache_bytes=0, silence_s=0.0, prefix_folder=None)
    return installed.engine, tuple(installed.program), installed.version, settings


def _launch(planned: Planned, serving: Serving, tools: Tools) -> LaunchSpec:
    """Say how to start; llama.cpp refuses to where the folder for its slots is missing."""
    if serving.prefix_folder is not None and not _is_made(serving.prefix_folder):
        serving = replace(serving, prefix_folder=None)
    return tools.launch(planned, serving)


def _is_made(folder: Path) -> bool:
    """Make a folder that its user alone may enter, unless it is there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _log.warning("prompts are not kept on disk: folder=%s error=%s", folder, error)
        return False
    return True


def _free_name(instance: InstanceId, taken: Container[InstanceId]) -> InstanceId:
    name, number = instance, 1
    while name in taken:  # another file, or the same with other settings
        number += 1
        name = InstanceId(f"{instance}:{number}")
    return name


def room_of(planned: Planned, share: float) -> Room:
    """What its engine takes at once."""
    context = planned.plan.context
    return Room(
        slots=planned.plan.parallel,
        context=context,
        share=share,
        long_tokens=max(_LONG_TOKENS, context // _LONG_SHARE),
        patience_s=_PATIENCE_S,
    )
