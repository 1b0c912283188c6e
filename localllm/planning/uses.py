"""What each use asks of a model, in tokens of context and tokens per second."""

from __future__ import annotations

from collections.abc import Mapping

from localllm.catalog.facts import Use
from localllm.planning.ranking import Need

NEEDS: Mapping[Use, Need] = {
    Use.CHAT: Need(context=16_384, least_context=2048, least_tps=5),
    Use.CODE: Need(context=65_536, least_context=16_384, least_tps=10),
    Use.EMBED: Need(context=8192, least_context=512, least_tps=0),
    Use.VISION: Need(context=16_384, least_context=4096, least_tps=5),
}
"""A coding agent's instructions and tools take 5,000 to 20,000 tokens before its first word, and
its work many times that; people read some 5 tokens a second."""

BENCHMARK: Mapping[Use, str] = {
    Use.CHAT: "GPQA Diamond",
    Use.CODE: "SWE-bench Verified",
    Use.VISION: "MMMU",
    Use.EMBED: "MTEB Multilingual",
}
"""By which models are compared that publish it."""


def use_of(name: str | None) -> Use:
    """The use of that name; a chat where none was named."""
    return Use.CHAT if name is None else Use(name)
