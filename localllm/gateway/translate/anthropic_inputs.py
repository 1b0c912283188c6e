"""The blocks of which messages and results of tools consist, as clients send them, checked. Pure.

Source: the *_block_param.py files in anthropic-sdk-python, in `types` and in `types/beta`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from localllm.gateway.translate.anthropic_wire import Content, convert, wrong


class ImageData(msgspec.Struct, tag_field="type", tag="base64"):
    media_type: Annotated[str, Meta(pattern=r"^image/[a-z0-9.+-]+$")]
    data: str


class ImageUrl(msgspec.Struct, tag_field="type", tag="url"):
    url: str


class Stored(msgspec.Struct, tag_field="type", tag="file"):
    """A file in Anthropic's own storage."""

    file_id: str


class FileData(msgspec.Struct, tag_field="type", tag="base64"):
    """A PDF, as yet."""

    media_type: str
    data: str


class PlainText(msgspec.Struct, tag_field="type", tag="text"):
    data: str


class Nested(msgspec.Struct, tag_field="type", tag="content"):
    content: Content


class Text(msgspec.Struct):
    text: str


class Image(msgspec.Struct):
    source: ImageData | ImageUrl | Stored


class Document(msgspec.Struct):
    source: PlainText | Nested | FileData | ImageUrl | Stored
    title: str | None = None
    context: str | None = None


class SearchResult(msgspec.Struct):
    source: str
    title: str
    content: list[dict[str, Any]]


class ToolReference(msgspec.Struct):
    tool_name: str


class ToolUse(msgspec.Struct):
    id: str
    name: str
    input: object
    """An object; or whatever an answer that was cut off had in its place."""


class ToolResult(msgspec.Struct):
    tool_use_id: str
    content: Content | None = None
    is_error: bool | None = None


class Thought(msgspec.Struct):
    """Its signature is nobody's business: Claude Code sends back whatever it got."""

    thinking: str


class Instruction(msgspec.Struct):
    """System text in the middle of a conversation."""

    content: Content


class Summary(msgspec.Struct):
    """What a conversation was about, in place of its first part."""

    content: str | None = None


class Foreign(msgspec.Struct):
    """Something that Anthropic's servers did or wrote, and that no local model can read."""

    type: str


Block = (
    Text
    | Image
    | Document
    | SearchResult
    | ToolReference
    | ToolUse
    | ToolResult
    | Thought
    | Instruction
    | Summary
    | Foreign
)
Placed = tuple[str, Block]
"""A block and where it is in the request, as in `messages[0].content[1]`."""

_BLOCKS: dict[str, type[Block]] = {
    "text": Text,
    "image": Image,
    "document": Document,
    "search_result": SearchResult,
    "tool_reference": ToolReference,
    "tool_use": ToolUse,
    "tool_result": ToolResult,
    "thinking": Thought,
    "mid_conv_system": Instruction,
    "compaction": Summary,
    "redacted_thinking": Foreign,
    "fallback": Foreign,
    "browser_state": Foreign,
    "mcp_tool_listing": Foreign,
    "tool_addition": Foreign,
    "tool_removal": Foreign,
}
_FOREIGN_ENDINGS = ("_tool_use", "_tool_result")
"""Of what Anthropic's servers call: `server_tool_use`, `web_search_tool_result` and so on."""


def blocks(content: Content | None, at: str) -> list[Placed]:
    """Read the blocks of a message or of a tool's result; a text is one block.

    Raises:
        BadRequest: One is of no known type, or a value in it is wrong.
    """
    if isinstance(content, str):
        return [(at, Text(content))] if content else []
    return [_block(raw, f"{at}[{place}]") for place, raw in enumerate(content or ())]


def _block(raw: dict[str, Any], at: str) -> Placed:
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise wrong(f"{at}.type", "Expected `str`")
    known = Foreign if kind.endswith(_FOREIGN_ENDINGS) else _BLOCKS.get(kind)
    if known is None:
        raise wrong(f"{at}.type", f"there is no block of the type '{kind}'")
    make: Callable[[object, type[Block], str], Block] = convert
    return at, make(raw, known, at)
