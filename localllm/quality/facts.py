"""What an examination found out about one model as one engine serves it: data, for judging and for keeping."""

from __future__ import annotations

import msgspec


class Token(msgspec.Struct, frozen=True, array_like=True):
    """One place of a text, scored before the model saw it."""

    id: int
    logprob: float | None
    """Natural logarithm; None where the engine tells no number, as with weights that are none."""

    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens there and their logarithms, the likeliest first."""


class Scored(msgspec.Struct, frozen=True):
    """A passage after its lead."""

    name: str
    kind: str
    size_bytes: int
    tokens: tuple[Token, ...]


class Tokenizer(msgspec.Struct, frozen=True):
    """How a fixed text is cut and joined, and a fixed conversation written out."""

    ids: tuple[int, ...] | None = None
    """None where the engine does not tell tokens."""

    joined: bool | None = None
    """Whether they give the text again; None where the engine does not say."""

    chats: dict[str, str] = {}
    """By the conversation's name, what the chat template makes of it; empty where nobody says."""

    refused: dict[str, str] = {}
    """Conversations that the template does not take, and why."""

    missing: tuple[str, ...] = ()
    """What was said in a conversation and is not in what the template made of it."""

    knows_tools: bool | None = None
    """Whether a tool on offer is in what the template made; None where nobody says."""

    markup_tokens: int | None = None
    """Of the plainest conversation, tokens that are markup; 0: its markup is plain text to the
    tokenizer. None where the engine does not tell them apart."""


class Tried(msgspec.Struct, frozen=True):
    """A task, and whether it was done."""

    name: str
    passed: bool | None
    """None: not judged, and `why` says what was in the way."""

    why: str = ""
    answer: str = ""
    """Its beginning."""


class Called(msgspec.Struct, frozen=True):
    """A question with tools or a schema, asked a few times in one of the APIs."""

    name: str
    api: str
    """openai, openai streamed, anthropic."""

    asked: int
    """Answers that were judged; none where it was still thinking."""

    valid: int
    """Answers of the right form: a tool that there is, arguments that it takes."""

    right: int
    """And with what a person would have called."""

    forced: bool = False
    """Whether the engine was to hold the answer to its form."""

    why: str = ""
    """What was wrong with the first that was."""


class Speed(msgspec.Struct, frozen=True):
    """Tokens per second, as the warm-up has measured."""

    prefill_tps: float | None = None
    decode_tps: float | None = None


class Subject(msgspec.Struct, frozen=True):
    """What was examined."""

    id: str
    file: str
    """What tells one file from another: its path, size and time."""

    tokenizer_key: str
    """The same for all quantizations of a model; see supervisor/tokenizers.py."""

    engine: str
    engine_version: str
    quant: str | None
    context: int
    parameters: int | None = None
    """None where the file does not say."""

    has_template: bool = True
    """Whether it brings a chat template; base models often do not."""


class Facts(msgspec.Struct, frozen=True):
    """One examination."""

    subject: Subject
    texts_version: int
    quick: bool
    at: float
    """Unix seconds."""

    took_s: float
    tokenizer: Tokenizer
    scored: tuple[Scored, ...] = ()
    unscored: str | None = None
    """Why there are no scores; None where there are."""

    tried: tuple[Tried, ...] = ()
    called: tuple[Called, ...] = ()
    speed: Speed = Speed()
    doubts: tuple[str, ...] = ()
    """What was odd when it was started: sentences for people."""

    cut_short: str | None = None
    """What it did not come to, for want of time; None where it got through."""
