"""What a draft takes: a smaller model beside the one that checks its guesses, or blocks of its own.

llama.cpp gives a draft a context as long as the model's, with as many slots and as large a micro
batch. Held against real loads: SmolLM2 as its own draft to the log's 0.01 MiB, on the processor
and on a device; a delta net's and a mixture's own heads above it, see HEADS_INPUTS. Formulas only.

Source: llama.cpp, common/speculative.cpp (common_base_params_to_speculative).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isclose

from localllm.fit.cache import FLOAT_BYTES, Setting, can_be_quantized
from localllm.fit.memory import bounded_buffers_of, buffers_of, kept_of, with_buffers
from localllm.fit.placing import Arrangement, arrange, on_host
from localllm.fit.plan import Draft
from localllm.fit.shape import Shape, draft_heads, shape_of
from localllm.fit.tables import Tables, tabulate
from localllm.formats.header import Header

HEADS_INPUTS = 7
"""A micro batch's embeddings so many times: what heads read beside one block's graph. Of 0.5 MiB
each, 2.50 and 1.00 MiB were missing on the processor and 6.50 on a device, of a tiny model's."""

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
