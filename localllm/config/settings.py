"""All that config.toml may say: names, values, defaults."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from localllm.config.prices import Cost
from localllm.config.remote import Remote
from localllm.errors import ModelNotFound
from localllm.user_profiles import Count, KeepAlive, UserProfile

DEFAULT_PORT = 11711

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Duration = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]

_HOST = r"^([A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+(:[0-9]{1,5})?\Z|^\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?\Z"
"""A name or an address, as in the header Host."""

HostName = Annotated[
    str, msgspec.Meta(pattern=_HOST, description="a host's name, with or without a port")
]


class Supervision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How patient the supervisor is; times in seconds."""

    max_crashes: Count = 3
    """How often an engine may crash before it is left alone."""

    stable_after_s: Duration = 60.0
    """An engine that has served for so long is forgiven the crashes before."""

    backoff_first_s: Duration = 1.0
    """Between the first crash and the next start; twice as long after each more."""

    start_silence_s: Duration = 60.0
    """How long loading may show no progress, beside the time that its bytes take."""

    drain_timeout_s: Duration = 30.0
    """How long requests may take to end before their engine is stopped all the same."""

    request_wait_s: Duration = 300.0
    """How long a request waits for a model that is loading or restarting."""

    max_requests: Count = 1024
    """That one model may have at once, served and waiting; more are refused with 429."""

    load_on_request: bool = True
    """Whether a request that names an installed model has it loaded."""

    keep_alive: KeepAlive = "15m"
    """How long such a model stays in memory while nobody uses it."""

    cache_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    """Of an engine's KV cache, over which long prompts wait instead of failing those that run."""

    hang_after_s: Duration = 120.0
    """An engine that is at work on a request and shows no progress for so long is restarted."""

    after_out_of_memory: Literal["stop", "smaller"] = "stop"
    """smaller: an engine that memory ran out for is started again with half the context, then with
    the next smaller quantization that is here."""

    watch_every_s: Duration = 5.0
    """How often the machine is looked at: devices, memory pressure, temperature, sleep."""


class Floors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens per second under which a model is of no use; unset leaves it to what the use needs."""

    chat: Annotated[float, msgspec.Meta(ge=0, examples=[10])] | None = None
    """Of a model to talk with."""

    code: Annotated[float, msgspec.Meta(ge=0, examples=[20])] | None = None
    """Of a model for agents that write code."""

    embed: Annotated[float, msgspec.Meta(ge=0, examples=[100])] | None = None
    """Of a model that makes vectors of texts."""

    vision: Annotated[float, msgspec.Meta(ge=0, examples=[10])] | None = None
    """Of a model that sees images."""


class Planning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the planner should weigh otherwise than it does by itself."""

    min_tps: Floors = Floors()
    """Tokens per second under which a model is of no use."""

    ranking: Annotated[tuple[str, ...], msgspec.Meta(examples=[["qwen3-8b"]])] = ()
    """Ids of models, the best first: goes before what their cards publish."""

    reserve_mib: Annotated[int, msgspec.Meta(ge=0)] = 0
    """To keep free on every device, beside what the desktop needs."""


class Downloads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are fetched."""

    max_mib_per_s: Annotated[float, msgspec.Meta(gt=0, examples=[20])] | None = None
    """Of all pulls together; unset: as fast as the line is."""

    connections: Annotated[int, msgspec.Meta(ge=1, le=32)] = 6
    """To the server, of one file."""

    at_once: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    """Pulls; more wait for their turn."""


class Prefix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prompts that are kept on disk, so that none is read twice."""

    enabled: bool = True
    """Whether prompts are kept at all."""

    max_gib: Annotated[float, msgspec.Meta(ge=0, le=1_000_000, examples=[20])] | None = None
    """How much of them, and never more than nine tenths of the free disk; unset: a tenth, at most 20."""

    warm: bool = True
    """Read prompts again after a start, while nobody asks, where the engine cannot save what it has read."""

    remove_billing_header: bool = True
    """Take out the line that Claude Code puts first in its system prompt, since it is another one in
    each session."""


class Naming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What names mean that nothing here has. Names of what is here go before them."""

    hosted: bool = False
    """Whether what hosted models are called, as in gpt-5 or claude-opus-4-7, means what is served;
    profiles/hosted_names.toml lists them."""

    map: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    """From names that clients send, with * and ? as in a shell, to names here; the first that
    matches counts."""


_LOOPBACK = "127.0.0.1"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of config.toml. A key that is not here is an error that names it."""

    port: Port = DEFAULT_PORT
    """Of the endpoint."""

    engine: Annotated[str, msgspec.Meta(examples=["llama-server"])] | None = None
    """By name, as `localllm engine list` has it; unset takes the one that uses the accelerator."""

    llama_server: Annotated[str, msgspec.Meta(examples=["/usr/local/bin/llama-server"])] | None = (
        None
    )
    """Path or name of the user's own llama-server; unset takes a fetched build, else looks on PATH."""

    engine_mirror: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^https?://",
                description="an address with http:// or https://",
                examples=["https://mirror.example.com"],
            ),
        ]
        | None
    ) = None
    """Stands for the outside when engines are fetched: MIRROR/github.com/... and so on."""

    allow_cpu: bool = False
    """Whether models are served on the processor where no engine reaches the accelerator."""

    origins: Annotated[tuple[str, ...], msgspec.Meta(examples=[["http://localhost:3000"]])] = ()
    """Web origins that may call, each exactly as the browser sends it."""

    listen: str = _LOOPBACK
    """The address for others: one of this machine's, 0.0.0.0 for all of IPv4, :: for all. Loopback is
    there in any case. Beyond it nobody gets in without an API key."""

    auth: Literal["auto", "always"] = "auto"
    """always: programs of this machine need an API key, too, as where several people use it."""

    allowed_hosts: Annotated[tuple[HostName, ...], msgspec.Meta(examples=[["mybox.lan"]])] = ()
    """More names that this machine is asked by, as in mybox.lan, or mybox.lan:8443 behind a proxy."""

    max_connections: Annotated[int, msgspec.Meta(ge=16, le=100_000)] = 1024
    """Of clients, at once."""

    max_body_mib: Count = 64
    """Of one request."""

    allow_grammars: bool = False
    """Whether clients may send grammars of their own, which engines read without a bound."""

    supervision: Supervision = Supervision()
    """How patient the supervisor is; times in seconds."""

    plan: Planning = Planning()
    """What the planner should weigh otherwise than it does by itself."""

    downloads: Downloads = Downloads()
    """How models are fetched."""

    prefix: Prefix = Prefix()
    """Prompts that are kept on disk, so that none is read twice."""

    remote: Remote | None = None
    """A server elsewhere that speaks OpenAI's API; nothing goes there but what `when` names."""

    names: Naming = Naming()
    """What names mean that nothing here has. Names of what is here go before them."""

    cost: Cost = Cost()
    """What `localllm cost` reckons with: your prices. None is known by itself."""

    profiles: Mapping[str, UserProfile] = msgspec.field(default_factory=dict[str, UserProfile])
    """Models and how to serve them, under names of your own: localllm up --profile NAME."""

    def __post_init__(self) -> None:
        if self.listen != _LOOPBACK and not _is_address(self.listen):
            raise ValueError(
                "listen takes an IP address of this machine, 0.0.0.0 for all of IPv4 or :: for "
                f"all, and {self.listen!r} is none; names are for allowed_hosts"
            )

    def profile(self, name: str, file: Path) -> UserProfile:
        """What the user means by `--profile`; where the environment says otherwise, it is in it.

        Raises:
            ModelNotFound: There is no such profile.
        """
        if name in self.profiles:
            return self.profiles[name]
        near = get_close_matches(name, self.profiles, n=1)
        known = ", ".join(self.profiles)
        raise ModelNotFound(
            f"There is no profile {name!r}" + (f": did you mean {near[0]}?" if near else "."),
            why=f"the profiles in {file} are {known}" if known else f"{file} has none",
            fix=f"{f'--profile {near[0]}, or ' if near else ''}write [profiles.{name}] in {file}",
        )


def _is_address(text: str) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415  # 3 ms that those on loopback save

    try:
        ip_address(text)
    except ValueError:
        return False
    return True
