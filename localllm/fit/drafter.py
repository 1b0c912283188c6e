"""What a draft takes: a smaller model beside the one that checks its guesses, or blocks of its own.

llama.cpp gives a draft a context as long as the model's, with as many slots and as large a micro
batch. Held against real loads: SmolLM2 as its own draft to the log's 0.01 MiB, on the processor
and on a device; a delta net's and a mixture's own heads above it, see HEADS_INPUTS. Formulas only.

Source: llama.cpp, common/speculative.cpp (common_base_params_to_speculative).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from localllm.fit.cache import FLOAT_BYTES, Setting, can_be_quantized
from localllm.fit.compute import REORDERING
from localllm.fit.graph_model import batch_of
from localllm.fit.memory import bounded_buffers_of, buffers_of, kept_of, with_buffers
from localllm.fit.placing import Arrangement, arrange, on_host
from localllm.fit.plan import Draft
from localllm.fit.shape import Shape, draft_heads, shape_of
from localllm.fit.tables import Tables, tabulate
from localllm.formats.header import Header

HEADS_INPUTS, REORDERED_HEADS_INPUTS = 3, 7
"""A micro batch's embeddings so many times: what heads read beside one block's graph. Of 1 MiB
each, 2.50 and 1.00 were missing on the processor and 6.50 on a device that reorders."""

ROLLED_BACK = frozenset({"lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "qwen35", "qwen35moe"})
"""Recurrent architectures that take guesses of their own heads back by earlier states that they
keep; others by copies on the host. Source: llama.cpp, src/llama-arch.cpp."""


@dataclass(frozen=True, slots=True)
class Drafter:
    """What guesses, as the formulas see it."""

    shape: Shape
    tables: Tables
    tokens: int
    heads: bool
    """Whether it is blocks of the model itself."""

    def place(self, arrangement: Arrangement) -> int:
        """Which of the devices has it; their number stands for the host."""
        if not self.heads:
            return 0
        ends = (i for i, share in enumerate(arrangement.devices) if share.output)
        return next(ends, len(arrangement.devices))

    def takes(self, setting: Setting, kind: str | None, *, exact: bool | None) -> tuple[int, int]:
        """Bytes on the device that has it, and on the host.

        Args:
            setting: The model's.
            kind: How that device is driven; None: the host has all of it.
            exact: Whether compute buffers are replayed or bounded; None leaves them out.
        """
        kinds = [] if kind is None else [kind]
        arrangement = arrange(self.shape, [1]) if kinds else on_host(self.shape)
        own = self._own(setting)
        kept = kept_of(self.tables, own, arrangement, self._weights(arrangement, kinds))
        if exact is not None:
            kept = with_buffers(kept, self._buffers(own, arrangement, kinds, exact=exact))
        return (kept[0].total if kinds else 0), kept[-1].total

    def _own(self, setting: Setting) -> Setting:
        """A cache of the model's type, if the draft's heads divide into its blocks."""
        kv_type = setting.kv_type if can_be_quantized(self.shape) else "f16"
        return replace(setting, kv_type=kv_type, rollback=0, embeds=False)

    def _weights(self, arrangement: Arrangement, kinds: Sequence[str]) -> tuple[int, ...]:
        if not self.heads:
            return self.tables.on_devices(arrangement, kinds)
        table = self.tables.weights[kinds[0] if kinds else "cpu"]
        blocks = table.layers[-1] + table.experts[-1]  # the rest is the model's, and there already
        return (blocks, 0) if kinds else (blocks,)

    def _buffers(
        self, own: Setting, arrangement: Arrangement, kinds: Sequence[str], *, exact: bool
    ) -> Sequence[int]:
        if exact:
            first, *others = buffers_of(self.tables, own, arrangement, kinds)
        else:
            first, *others = bounded_buffers_of(self.tables, own, arrangement)
        return (first + (self._inputs_bytes(own, kinds) if self.heads else 0), *others)

    def _inputs_bytes(self, own: Setting, kinds: Sequence[str]) -> int:
        times = REORDERED_HEADS_INPUTS if REORDERING.intersection(kinds) else HEADS_INPUTS
        return times * batch_of(own).tokens * self.shape.header.embedding * FLOAT_BYTES


def drafter_of(draft: Draft | None, header: Header, kinds: Sequence[str]) -> Drafter | None:
    """Work out what a draft is made of; None where nothing guesses.

    Args:
        header: Of the model that checks the guesses.
        kinds: How the devices are driven that it may go to.

    Raises:
        UnsupportedArchitecture: The formulas do not cover it, or there are no such blocks.
    """
    if draft is None:
        return None
    shape = draft_heads(header) if draft.header is None else shape_of(draft.header)
    return Drafter(shape, tabulate(shape, kinds), draft.tokens, heads=draft.header is None)


def rollback_of(draft: Draft | None, shape: Shape) -> int:
    """Earlier states that the model keeps for each slot to take guesses back."""
    if draft is None or draft.header is not None or not shape.recurrent:
        return 0
    return draft.tokens if shape.header.architecture in ROLLED_BACK else 0
