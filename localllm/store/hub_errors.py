"""What a hub refuses, in words that say what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from localllm.errors import ModelNotFound, NoNetwork

UNAUTHORIZED, FORBIDDEN, TOO_MANY = 401, 403, 429


@dataclass(frozen=True, slots=True)
class Asked:
    """What the hub was asked for."""

    endpoint: str
    name: str
    revision: str | None
    path: str
    """Of a file; empty where the repository itself was asked for."""


class AccessRefused(NoNetwork):
    """The hub has it, but not for this user; asking again changes nothing."""

    http_status = 403
    retryable = False


def gated(name: str, endpoint: str) -> AccessRefused:
    """Say what to click."""
    return AccessRefused(
        f"{name} is gated: the hub gives it only to those who accepted its conditions.",
        why="the conditions were not accepted, or no token of the account that did was sent",
        fix=f"open {endpoint}/{name}, accept the conditions there, then: hf auth login",
    )


def not_there(name: str, endpoint: str) -> ModelNotFound:
    """Say that a private one looks the same."""
    return ModelNotFound(
        f"There is no repository {name} for you on {endpoint}.",
        why="it is misspelt or gone, or it is private and no token with access was sent",
        fix=f"look it up at {endpoint}/models; if it is private: hf auth login",
    )


def no_revision(name: str, revision: str | None) -> ModelNotFound:
    """Name the revision."""
    return ModelNotFound(
        f"{name} has no revision {revision}.",
        why="it is no branch, tag or commit of the repository",
        fix="leave the revision out, or give one that the repository's page lists",
    )


def no_file(name: str, path: str) -> ModelNotFound:
    """Name a file that the listing had."""
    return ModelNotFound(
        f"{name} no longer has the file {path}.",
        why="it was listed, but the hub does not find it at that commit",
        fix="try again, so that the repository is listed anew",
    )


def refused(asked: Asked, status: int, said: str) -> NoNetwork:
    """Name what a status means; `said` is the hub's own message."""
    name, endpoint = asked.name, asked.endpoint
    if status == UNAUTHORIZED:
        return AccessRefused(
            f"{endpoint} does not take your token.",
            why=f"status {status}: {said}",
            fix="hf auth login, or set HF_TOKEN to a token that is valid, or to none",
        )
    if status == FORBIDDEN:
        return AccessRefused(
            f"{endpoint} refuses {name}.",
            why=f"status {status}: {said}",
            fix=f"open {endpoint}/{name} to see who may use it, then: hf auth login",
        )
    if status == TOO_MANY:
        return NoNetwork(
            f"{endpoint} was asked too often.",
            why=f"status {status}: {said}",
            fix="wait some minutes; with hf auth login the hub allows more",
        )
    return NoNetwork(
        f"{endpoint} answered with an error.",
        why=f"status {status}: {said}",
        fix="try again later",
    )


def offline(name: str) -> NoNetwork:
    """Name the setting that forbids to ask."""
    return NoNetwork(
        f"What {name} holds is not known here, and the hub must not be asked.",
        why="HF_HUB_OFFLINE is set",
        fix="unset HF_HUB_OFFLINE, or name a model that is on this disk",
    )


def unreachable(endpoint: str, why: str) -> NoNetwork:
    """Name the cause that the system gives."""
    return NoNetwork(
        f"{endpoint} cannot be reached.",
        why=why,
        fix="connect to the network, or name a model that is on this disk",
    )


def no_hub(endpoint: str, why: str) -> NoNetwork:
    """Say that what answers is no hub: a network's login page, a mirror that lacks something."""
    return NoNetwork(
        f"{endpoint} does not answer as a hub does.",
        why=why,
        fix="log in to the network if it asks for that, and check HF_ENDPOINT if it is set",
    )
