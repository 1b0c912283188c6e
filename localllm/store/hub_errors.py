"""What a hub refuses, in words that say what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from localllm.errors import AccessRefused, ConfigError, ModelNotFound, NoNetwork
from localllm.formats.header import Format
from localllm.store.names import shown
from localllm.transfer.addresses import without_password

_MOST_NAMED = 5
UNAUTHORIZED, FORBIDDEN, TOO_MANY = 401, 403, 429


@dataclass(frozen=True, slots=True)
class Asked:
    """What the hub was asked for."""

    endpoint: str = field(repr=False)
    """May have a password in it, as all endpoints here; no sentence has it."""

    name: str
    revision: str | None
    path: str
    """Of a file; empty where the repository itself was asked for."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A repository that holds another's model, made smaller."""

    repo: str
    """As in owner/name."""

    format: Format
    downloads: int
    """Of the last month, as the hub counts them."""


def gated(name: str, endpoint: str) -> AccessRefused:
    """Say what to click."""
    return AccessRefused(
        f"{name} is gated: the hub gives it only to those who accepted its conditions.",
        why="the conditions were not accepted, or no token of the account that did was sent",
        fix=f"open {without_password(endpoint)}/{name}, accept the conditions there, then: hf auth login",
    )


def not_there(name: str, endpoint: str) -> ModelNotFound:
    """Say that a private one looks the same."""
    endpoint = without_password(endpoint)
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


def only_safetensors(name: str, conversions: Sequence[Conversion]) -> ModelNotFound:
    """Name what was made from it that can be served; the most used first."""
    there = [
        f"{kind.value.upper()}: {', '.join(repos[:_MOST_NAMED])}"
        for kind in (Format.GGUF, Format.MLX)
        if (repos := [one.repo for one in conversions if one.format is kind])
    ]
    first = next((one.repo for one in conversions if one.format is Format.GGUF), None)
    first = first or next((one.repo for one in conversions), None)
    search = f"look for {name.partition('/')[2]} GGUF on the hub's page of models"
    return ModelNotFound(
        f"{name} holds safetensors only, which llama.cpp does not serve.",
        why="; ".join(there) or "the hub knows no GGUF and no MLX that says it is made from it",
        fix=search if first is None else f"use one of these: localllm pull hf:{first}",
    )


def led_away(endpoint: str, address: str) -> NoNetwork:
    """Name where a hub wants to lead, unencrypted."""
    return NoNetwork(
        f"{without_password(endpoint)} leads away to an address that is not safe.",
        why=f"{shown(without_password(address))} is not https, and not the hub's own host",
        fix="check HF_ENDPOINT if it is set, and log in to the network if it asks for that",
    )


def refused(asked: Asked, status: int, said: str) -> NoNetwork:
    """Name what a status means; `said` is the hub's own message."""
    name, endpoint = asked.name, without_password(asked.endpoint)
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
    is_foreign = "certificate verify failed" in why.lower()
    company = "if your company inspects traffic, let SSL_CERT_FILE name its certificates"
    return NoNetwork(
        f"{without_password(endpoint)} cannot be reached.",
        why=why,
        fix=company if is_foreign else "connect to the network, or name a model on this disk",
    )


def no_proxy(why: str) -> ConfigError:
    """Name the variables that name one."""
    return ConfigError(
        "The hub cannot be asked through the proxy that the environment names.",
        why=why,
        fix="correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or name the hub in NO_PROXY",
    )


def no_hub(endpoint: str, why: str) -> NoNetwork:
    """Say that what answers is no hub: a network's login page, a mirror that lacks something."""
    return NoNetwork(
        f"{without_password(endpoint)} does not answer as a hub does.",
        why=why,
        fix="log in to the network if it asks for that, and check HF_ENDPOINT if it is set",
    )
