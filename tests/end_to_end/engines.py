"""The engines that answer the same requests, with the same model."""

from __future__ import annotations

ENGINES = ("xllamacpp", "llama-server", "llama-cpp-python", "mlx")
CONTEXT = 1024
