"""What config.toml may say of a server elsewhere: the section `remote`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec


class Remote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server elsewhere that speaks OpenAI's API; nothing goes there but what `when` names."""

    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^https?://[\w.:\[\]-]+(/[\w./~-]*)?\Z",
            description="an address with http:// or https://",
            examples=["https://api.example.com/v1"],
        ),
    ]
    """Its base URL, which mostly ends in /v1."""

    when: Annotated[
        tuple[Literal["overflow", "fallback"], ...], msgspec.Meta(examples=[["overflow"]])
    ] = ()
    """overflow: the model here has too many requests. fallback: it cannot answer."""

    model: Annotated[str, msgspec.Meta(examples=["big-model"])] | None = None
    """What is asked for there; unset is the name that the client sent."""

    models: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    """From names here to names there, before `model`. What nothing serves here goes there only if
    it is listed."""

    key_env: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^[A-Z_][A-Z0-9_]*\Z",
                description="the name of a variable, in capitals",
                examples=["EXAMPLE_API_KEY"],
            ),
        ]
        | None
    ) = None
    """The variable that holds the key; in capitals, so that no key is taken for one."""

    keyring: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^.+/[^/]+\Z",
                description="a service and a user, as in service/user",
                examples=["localllm/me"],
            ),
        ]
        | None
    ) = None
    """Where the system's keyring holds the key: service/user."""

    key: str | None = None
    """Refused: only here to say why."""

    def __post_init__(self) -> None:
        if self.key is not None:
            raise ValueError(
                "a key in this file is shown to whoever reads or copies it: name the variable that "
                "holds it with key_env, or its place in the system's keyring with keyring"
            )
        if self.key_env is not None and self.keyring is not None:
            raise ValueError("key_env and keyring are two places for one key: keep one of them")
