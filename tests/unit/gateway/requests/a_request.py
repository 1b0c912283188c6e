"""Requests to check: one that is allowed, with what a test changes of it."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

from localllm.gateway.requests.bounds import Limits

LIMITS = Limits(slots=4, context=4096)

Document = dict[str, Any]


def as_body(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def a_chat(**more: object) -> Document:
    return {"model": "small", "messages": [{"role": "user", "content": "hi"}], **more}


def a_completion(**more: object) -> Document:
    return {"model": "small", "prompt": "def f(", **more}


def with_message(**message: object) -> Document:
    return a_chat(messages=[{"role": "user", "content": "hi"}, message])


def with_part(**part: object) -> Document:
    return a_chat(messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, part]}])


def with_image(url: str) -> Document:
    return with_part(type="image_url", image_url={"url": url})


def a_tool(name: str = "look", **parameters: object) -> Document:
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", **parameters}},
    }


def with_schema(schema: object) -> Document:
    wanted = {"name": "answer", "schema": schema}
    return a_chat(response_format={"type": "json_schema", "json_schema": wanted})


def a_deep_schema(levels: int) -> Document:
    schema: Document = {"type": "string"}
    for _ in range(levels - 1):
        schema = {"type": "object", "properties": {"in": schema}}
    return schema


def a_deep_list(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\2\0\0\0"


def data_url(image: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


PIXEL = data_url(png(1, 1))
