"""Recorded requests for tests."""

from __future__ import annotations

from typing import Any

from localllm.api.traffic_file import FORMAT, Header, Shape, Traffic


def a_shape(number: int, **said: Any) -> Shape:
    """One request of a chat, a second after the one before it."""
    usual: dict[str, Any] = {
        "id": number,
        "timestamp": 1000.0 * number,
        "input_length": 40,
        "output_length": 8,
        "model": "m",
        "total_ms": 500.0,
    }
    return Shape(**{**usual, **said})


def traffic_of(*shapes: Shape, context: int | None = 4096, torn: bool = False) -> Traffic:
    header = Header(
        format=FORMAT, version="1", started=1.8e9, block_tokens=32, model="m", context=context
    )
    return Traffic(header, shapes, torn)
