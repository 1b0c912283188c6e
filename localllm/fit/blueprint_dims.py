"""A model's hyper-parameters under GGUF's keys, read with llama.cpp's defaults.

Source: llama.cpp, src/llama-model.cpp, load_hparams.
"""

from __future__ import annotations

from collections.abc import Mapping

from localllm.fit.architectures import ATTENTION_INTERVAL
from localllm.formats.header import Value


class MissingKeys(ValueError):
    """Hyper-parameters without which the tensors cannot be told."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"unknown hyper-parameters: {', '.join(names)}")
        self.names = names


class Dims:
    """Dimensions of one architecture's tensors, in numbers, by layer where layers differ."""

    __slots__ = ("_keys", "architecture")

    def __init__(self, architecture: str, keys: Mapping[str, Value]) -> None:
        self.architecture = architecture
        self._keys = keys

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def number(self, key: str, default: int | None = None) -> int:
        """Read a number; of one per layer the largest.

        Raises:
            MissingKeys: There is none, and no default.
        """
        found = self._keys.get(key, default)
        if isinstance(found, tuple) and found:
            return max(found)
        if not isinstance(found, int | float):
            raise MissingKeys((key,))
        return int(found)

    def at(self, key: str, layer: int, default: int | None = None) -> int:
        found = self._keys.get(key)
        if isinstance(found, tuple) and layer < len(found):
            return int(found[layer])
        return self.number(key, default)

    @property
    def embedding(self) -> int:
        return self.number("embedding_length")

    @property
    def vocabulary(self) -> int:
        return self.number("vocab_size")

    @property
    def blocks(self) -> int:
        return self.number("block_count")

    @property
    def trunk(self) -> int:
        """Blocks that are not for drafts only."""
        return self.blocks - self.number("nextn_predict_layers", 0)

    def heads(self, layer: int) -> int:
        return self.at("attention.head_count", layer)

    def heads_kv(self, layer: int) -> int:
        return self.at("attention.head_count_kv", layer, self.number("attention.head_count"))

    def windowed(self, layer: int) -> bool:
        """Whether the file lists the layer as one that sees a window only."""
        return bool(self.at("attention.sliding_window_pattern", layer, 0))

    def key_dim(self, layer: int = 0) -> int:
        plain = self.number("attention.key_length", self._shared_dim())
        if self.windowed(layer):
            return self.number("attention.key_length_swa", plain)
        return plain

    def value_dim(self, layer: int = 0) -> int:
        plain = self.number("attention.value_length", self._shared_dim())
        if self.windowed(layer):
            return self.number("attention.value_length_swa", plain)
        return plain

    def feed_forward(self, layer: int) -> int:
        return self.at("feed_forward_length", layer)

    @property
    def experts(self) -> int:
        return self.number("expert_count", 0)

    @property
    def expert_width(self) -> int:
        """llama.cpp takes the dense width where a file names none for experts."""
        if "expert_feed_forward_length" in self:
            return self.number("expert_feed_forward_length")
        return self.number("feed_forward_length")

    @property
    def shared_width(self) -> int:
        """Of the expert that every token uses; 0 without one."""
        stated = self.number("expert_shared_feed_forward_length", 0)
        return stated or self.number("expert_shared_count", 0) * self.expert_width

    def recurrent(self, layer: int) -> bool:
        """Whether a hybrid model's layer has a state instead of attention."""
        if layer >= self.trunk:
            return False
        if "attention.recurrent_layers" in self:
            return bool(self.at("attention.recurrent_layers", layer, 0))
        usual = ATTENTION_INTERVAL.get(self.architecture, 1)
        return (layer + 1) % self.number("full_attention_interval", usual) != 0

    def _shared_dim(self) -> int:
        heads = self.number("attention.head_count", 0)
        return self.embedding // heads if heads else 0
