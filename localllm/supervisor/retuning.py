"""Has what runs go on by other settings; nobody is interrupted for it."""

from __future__ import annotations

from dataclasses import replace

from localllm.config.settings import Settings, Supervision
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.lifecycle import RestartPolicy
from localllm.supervisor.new_instance import room_of


def policy_of(supervision: Supervision) -> RestartPolicy:
    """How patient the settings are with engines."""
    return RestartPolicy(
        max_crashes=supervision.max_crashes,
        stable_after_s=supervision.stable_after_s,
        backoff_first_s=supervision.backoff_first_s,
        drain_timeout_s=supervision.drain_timeout_s,
    )


def retune(fleet: Fleet, settings: Settings) -> None:
    """Take over what counts of them for engines that run, and for those that start from now on."""
    policy, share = policy_of(settings.supervision), settings.supervision.cache_share
    fleet.tools = replace(fleet.tools, policy=policy, prefix=settings.prefix, cache_share=share)
    for hosted in fleet.instances():
        hosted.runner.policy = policy
        hosted.lobby.room = room_of(hosted.planned, share)
        hosted.admit()
