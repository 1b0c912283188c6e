"""Pulls beside each other: which may run, how fast, which are the same, which are kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from localllm.store.job import PullJob
from localllm.supervisor import pull_messages as msg
from localllm.supervisor.pulling_list import (
    OVER,
    UNFINISHED,
    Pull,
    PullPolicy,
    PullState,
    may_begin,
    paths_of,
)

S = PullState
KEPT_FINISHED = 20
"""Of those that have ended, the latest, to be seen."""


def decide_starts(pulls: Iterable[Pull], policy: PullPolicy, now: float) -> Sequence[str]:
    """Decide who begins now: first come, first served."""
    known = tuple(pulls)
    free = policy.at_once - sum(pull.alive for pull in known)
    ready = sorted((p for p in known if may_begin(p, now)), key=lambda pull: pull.turn)
    return [pull.id for pull in ready[: max(0, free)]]


def share_of_pace(pulls: Iterable[Pull], limit_bytes_per_s: float | None) -> float | None:
    """Share a limit equally among those that run; None is no limit."""
    if limit_bytes_per_s is None:
        return None
    return limit_bytes_per_s / max(1, sum(pull.state is S.FETCHING for pull in pulls))


def find_same(pulls: Iterable[Pull], wanted: msg.Wanted) -> Pull | None:
    """Find the unfinished pull that brings these files, be it of an earlier commit, or more."""
    job, paths = wanted.job, paths_of(wanted.job)
    alike = (p for p in pulls if p.state in UNFINISHED and _is_of_one_revision(p.wanted.job, job))
    return next((pull for pull in alike if paths and paths <= paths_of(pull.wanted.job)), None)


def _is_of_one_revision(known: PullJob, job: PullJob) -> bool:
    if known.repo != job.repo:
        return False
    return known.commit == job.commit or (job.ref is not None and known.ref == job.ref)


def without_old(pulls: Mapping[str, Pull]) -> Mapping[str, Pull]:
    """Leave out the oldest of those that are over and done with, beyond what is kept."""
    ended = (p for p in pulls.values() if p.state in OVER - UNFINISHED)
    over = [pull for pull in ended if not pull.alive and not pull.is_awaited]
    over.sort(key=lambda pull: pull.ended_at)
    old = {pull.id for pull in over[: max(0, len(over) - KEPT_FINISHED)]}
    return {name: pull for name, pull in pulls.items() if name not in old}


def needed_etags(pulls: Iterable[Pull], repo: str) -> frozenset[str]:
    """List the contents of a repository that unfinished pulls bring."""
    jobs = (pull.wanted.job for pull in pulls if pull.state in UNFINISHED)
    files = (file for job in jobs if job.repo == repo for file in job.files)
    return frozenset(file.etag for file in files if file.etag is not None)
