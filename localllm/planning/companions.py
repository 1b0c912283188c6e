"""What goes with a model as the user's profile says: a draft, adapters, flags of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.engines.base import Adapter, Task
from localllm.engines.extras import Extra
from localllm.errors import ConfigError
from localllm.fit.graph_parts import adapter_tensor
from localllm.fit.plan import Draft, Wish
from localllm.fit.shape import TOKEN_TABLE
from localllm.formats.adapter import AdapterHeader, parse_adapter
from localllm.formats.header import Header, Tensor
from localllm.store.headers import mapped, read_header
from localllm.store.stored import StoredModel
from localllm.user_profiles import Lora, UserProfile

OWN_HEADS = "mtp"
"""As a draft: the blocks that a model has for it."""

DRAFT_TOKENS = 3
"""llama.cpp's own default: more are guessed in vain more often."""

VOCABULARY_SLACK = 128
"""Tokens by which a draft's vocabulary may differ. Source: llama.cpp, common/speculative.cpp."""

Find = Callable[[str], StoredModel]


@dataclass(frozen=True, slots=True)
class Companions:
    """Found on this disk, and read as far as planning needs."""

    draft: Draft | None = None
    draft_file: Path | None = None
    """None where the model's own blocks guess, or nothing does."""

    adapters: tuple[Adapter, ...] = ()
    adapter_headers: tuple[AdapterHeader, ...] = ()
    """In the same order."""

    pooling: str | None = None
    engine_args: tuple[str, ...] = ()

    @property
    def extras(self) -> frozenset[Extra]:
        """What an engine must be able to do."""
        wanted = {
            Extra.DRAFT: self.draft,
            Extra.ADAPTERS: self.adapters,
            Extra.ARGS: self.engine_args,
        }
        return frozenset(extra for extra, there in wanted.items() if there)

    def marks(self) -> Iterator[str]:
        """What tells one from others of its kind, each in short."""
        if self.draft is not None:
            header = self.draft.header
            what = OWN_HEADS if header is None else f"{header.architecture} {header.file_bytes}"
            yield f"draft {what} x{self.draft.tokens}"
        for adapter, own in zip(self.adapters, self.adapter_headers, strict=True):
            size = sum(tensor.size_bytes for tensor in own.tensors)
            yield f"lora {size} x{adapter.scale:g}"
        if self.engine_args:
            yield " ".join(self.engine_args)

    def over(self, wish: Wish) -> Wish:
        """Ask the planner for room for them, too."""
        return replace(wish, draft=self.draft, adapters=tuple(self._tensors()))

    def _tensors(self) -> Iterator[Tensor]:
        for number, header in enumerate(self.adapter_headers):
            for tensor in header.tensors:
                weight, _, half = tensor.name.rpartition(".lora_")
                yield replace(tensor, name=adapter_tensor(weight, half, number))

    def check(self, header: Header) -> None:
        """Refuse what does not go with a model: an engine would say so late, or not at all.

        Raises:
            ConfigError: It names what does not.
        """
        draft = None if self.draft is None else self.draft.header
        if draft is not None:
            _check_draft(draft, header)
        for adapter, own in zip(self.adapters, self.adapter_headers, strict=True):
            if own.architecture != header.architecture or not own.belongs_to(header.tensors):
                raise ConfigError(
                    f"{adapter.file} is an adapter for another model.",
                    why=f"{_name(header)} lacks tensors that it changes, or has others",
                    fix="name an adapter that was made for this model as lora, or none",
                )


NO_COMPANIONS = Companions()


def extras_of(task: Task) -> frozenset[Extra]:
    """What an engine must be able to do for a task."""
    wanted = {Task.EMBED: Extra.EMBED, Task.RERANK: Extra.RERANK}
    return frozenset({wanted[task]}) if task in wanted else frozenset()


def beside_of(companions: Companions, task: Task) -> str | None:
    """What tells a plan from one of the same model alone, in short; None where nothing does."""
    asked = () if task is Task.WRITE else (task.value,)
    return "; ".join((*asked, *companions.marks())) or None


def read_companions(profile: UserProfile, find: Find) -> Companions:
    """Find what a profile names.

    Args:
        find: From a model's name to its file on this disk.

    Raises:
        ModelNotFound: The draft is not on this disk, or an adapter's file cannot be read.
        BadModelFile: One of them is damaged, or something else.
    """
    tokens = profile.draft_tokens or DRAFT_TOKENS
    draft, file = None, None
    if profile.draft == OWN_HEADS:
        draft = Draft(tokens)
    elif profile.draft is not None:
        file = find(profile.draft).file
        draft = Draft(tokens, read_header(file))
    adapters = tuple(_adapter(lora) for lora in profile.lora)
    return Companions(
        draft=draft,
        draft_file=file,
        adapters=adapters,
        adapter_headers=tuple(_read_adapter(adapter.file) for adapter in adapters),
        pooling=profile.pooling,
        engine_args=profile.engine_args,
    )


def _adapter(lora: Lora) -> Adapter:
    return Adapter(Path(lora.file).expanduser(), lora.scale)


def _read_adapter(file: Path) -> AdapterHeader:
    with mapped(file) as view:
        return parse_adapter(view, file_bytes=len(view))


def _check_draft(draft: Header, header: Header) -> None:
    if all(tensor.name != TOKEN_TABLE for tensor in draft.tensors):
        raise ConfigError(
            f"{_name(draft)} is no draft that localllm can plan.",
            why="it is a part of a model, not a model of its own",
            fix=f'name a smaller model of the same family as draft, or "{OWN_HEADS}"',
        )
    if abs(draft.vocabulary - header.vocabulary) > VOCABULARY_SLACK:
        raise ConfigError(
            f"{_name(draft)} cannot guess for {_name(header)}.",
            why=f"it knows {draft.vocabulary} tokens, the model {header.vocabulary}",
            fix="name a smaller model of the same family as draft, or none",
        )


def _name(header: Header) -> str:
    return header.name or header.architecture
