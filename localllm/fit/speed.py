"""How fast one stream will be: the weights' way through memory, and what each layer costs.

A prediction to be replaced by the first measurement; in-sample it is off by 5 % in the median
and by up to 45 %. Source: llmfit's community
measurements (commit 3f44fd3), 22 pairs of model and device.
"""

from __future__ import annotations

from localllm.fit.memory import read_per_token_bytes
from localllm.fit.plan import Budget
from localllm.formats.header import Header

BANDWIDTH_SHARE = 0.9

LAYER_S = {"cuda": (0.05e-3, 0.09e-3)}
"""By kind of device: seconds per layer of a dense model, and of one with experts."""

OTHER_LAYER_S = (0.10e-3, 0.12e-3)
"""Metal's, and for want of measurements everybody else's."""


def decode_tps(header: Header, device: Budget) -> float | None:
    """Tokens per second of one stream at an empty context; None without a bandwidth."""
    if not device.bandwidth:
        return None
    dense_s, expert_s = LAYER_S.get(device.device.split(":")[0], OTHER_LAYER_S)
    has_experts = bool(header.metadata.get(f"{header.architecture}.expert_count"))
    reading_s = read_per_token_bytes(header) / (BANDWIDTH_SHARE * device.bandwidth)
    return 1 / (reading_s + header.layers * (expert_s if has_experts else dense_s))
