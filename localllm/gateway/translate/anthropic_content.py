"""A conversation in Anthropic's blocks, as the messages of a chat completion. Pure.

Chat templates are particular: a system message stands first, user and assistant take turns, and
the results of tools follow their calls at once. So the turns of one side are put together, as
Anthropic's API does it, and what else is said to the model comes after the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from localllm.errors import BadRequest
from localllm.gateway.translate import anthropic_inputs as sent
from localllm.gateway.translate.anthropic_tools import id_for_engine
from localllm.gateway.translate.anthropic_wire import Content, Turn, wrong

Message = dict[str, object]
Part = dict[str, object]
"""Of a message: a text or an image."""

_INSTRUCTION = "<system-reminder>\n{}\n</system-reminder>"
"""How Claude Code itself marks what the user has not said."""

_FAILED = "The tool failed:\n"
"""A chat completion has no field for it."""

_IMAGE_BELOW = "[image: in the next message]"


def chat_messages(system: Content | None, turns: Sequence[Turn]) -> list[Message]:
    """Translate a conversation.

    Raises:
        BadRequest: A block is wrong, or cannot be read here.
    """
    placed = _still_said(turns)
    leading = next((n for n, (turn, _) in enumerate(placed) if turn.role != "system"), len(placed))
    texts = list(_system_texts(system, "system"))
    for turn, at in placed[:leading]:
        texts += _system_texts(turn.content, at)
    messages: list[Message] = [{"role": "system", "content": "\n".join(texts)}] if texts else []
    for is_models, side in groupby(placed[leading:], lambda one: one[0].role == "assistant"):
        said = [block for turn, at in side for block in _blocks(turn, at)]
        messages += [_by_model(said)] if is_models else _to_model(said)
    return messages


def _still_said(turns: Sequence[Turn]) -> list[tuple[Turn, str]]:
    """Place the turns; a system message may be for one turn of the user alone."""
    last = max((n for n, turn in enumerate(turns) if turn.role == "user"), default=-1)
    return [
        (turn, f"messages[{place}].content")
        for place, turn in enumerate(turns)
        if turn.clear_at != "next_user_message" or place > last
    ]


def _system_texts(content: Content | None, at: str) -> Iterator[str]:
    for place, block in sent.blocks(content, at):
        match block:
            case sent.Text(text):
                if text:
                    yield text
            case sent.Foreign():
                pass
            case _:
                raise wrong(f"{place}.type", "a system prompt is text")


def _blocks(turn: Turn, at: str) -> list[sent.Placed]:
    if turn.role == "system":
        return [(at, sent.Instruction(turn.content or []))]
    return sent.blocks(turn.content, at)


def _by_model(said: Iterable[sent.Placed]) -> Message:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Part] = []
    for at, block in said:
        match block:
            case sent.Text():
                texts.append(block.text)
            case sent.Summary():
                texts.append(block.content or "")
            case sent.Thought():
                thoughts.append(block.thinking)
            case sent.ToolUse():
                calls.append(_call(block))
            case sent.Foreign():
                pass
            case _:
                raise wrong(f"{at}.type", "such a block is not the assistant's")
    message: Message = {"role": "assistant", "content": "".join(texts)}
    if thought := "\n".join(filter(None, thoughts)):
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: sent.ToolUse) -> Part:
    said = block.input if isinstance(block.input, dict) else {}  # engines refuse what is none
    arguments = msgspec.json.encode(said).decode()
    return {
        "id": id_for_engine(block.id),
        "type": "function",
        "function": {"name": block.name, "arguments": arguments},
    }


def _to_model(said: Iterable[sent.Placed]) -> list[Message]:
    """Put the results of tools first, then what else there is, their images at its head."""
    results: list[Message] = []
    shown: list[Part] = []
    parts: list[Part] = []
    for at, block in said:
        match block:
            case sent.ToolResult():
                result, images = _result(block, at)
                results.append(result)
                shown += images
            case sent.Instruction():
                if texts := "\n".join(_system_texts(block.content, at)):
                    parts.append(_text(_INSTRUCTION.format(texts)))
            case sent.ToolUse() | sent.Thought() | sent.ToolReference():
                raise wrong(f"{at}.type", "such a block is not the user's")
            case _:
                parts += _parts(at, block)
    parts = shown + parts
    if results and not parts:
        return results
    return [*results, {"role": "user", "content": _joined(parts)}]


def _joined(parts: Sequence[Part]) -> str | list[Part]:
    """Make one text of texts: some templates and engines read no lists."""
    if any(part["type"] != "text" for part in parts):
        return list(parts)
    return "\n".join(str(part["text"]) for part in parts)


def _result(block: sent.ToolResult, at: str) -> tuple[Message, list[Part]]:
    """Translate a tool's result, and its images, which a tool's message may not have."""
    inside = sent.blocks(block.content, f"{at}.content")
    parts = [part for place, one in inside for part in _parts(place, one)]
    images = [part for part in parts if part["type"] != "text"]
    texts = [str(part["text"]) if part["type"] == "text" else _IMAGE_BELOW for part in parts]
    text = (_FAILED if block.is_error else "") + "\n".join(texts)
    return {
        "role": "tool",
        "tool_call_id": id_for_engine(block.tool_use_id),
        "content": text,
    }, images


def _parts(at: str, block: sent.Block) -> list[Part]:
    """Translate what users and tools alike may show to a model."""
    match block:
        case sent.Text(text) | sent.Summary(text):
            return [_text(text)] if text else []
        case sent.Image(source):
            return [_image(at, source)]
        case sent.Document():
            return _document(at, block)
        case sent.SearchResult():
            inside = sent.blocks(block.content, f"{at}.content")
            found = [part for place, one in inside for part in _parts(place, one)]
            return [_text(f"{block.title} ({block.source})"), *found]
        case sent.ToolReference(name):
            return [_text(f"The tool {name} can be used now.")]
        case sent.Foreign():
            return []
        case _:
            raise wrong(f"{at}.type", "such a block cannot be here")


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _image(at: str, source: sent.ImageData | sent.ImageUrl | sent.Stored) -> Part:
    match source:
        case sent.ImageData(media_type, data):
            return _image_at(f"data:{media_type};base64,{data}")
        case sent.ImageUrl(url):
            return _image_at(url)
        case sent.Stored():
            raise _not_here(at)


def _image_at(url: str) -> Part:
    return {"type": "image_url", "image_url": {"url": url}}


def _document(at: str, document: sent.Document) -> list[Part]:
    head = [_text(text) for text in (document.title, document.context) if text]
    match document.source:
        case sent.PlainText(data):
            return [*head, _text(data)]
        case sent.Nested(content):
            inside = sent.blocks(content, f"{at}.source.content")
            return [*head, *(part for place, one in inside for part in _parts(place, one))]
        case sent.FileData(media_type):
            raise _unreadable(at, media_type)
        case sent.ImageUrl():
            raise _unreadable(at, "PDF")
        case sent.Stored():
            raise _not_here(at)


def _unreadable(at: str, kind: str) -> BadRequest:
    return BadRequest(
        f"{at}: a document of the type {kind} cannot be read.",
        why="local models take text and images, and nothing here turns a PDF into either",
        fix="send the document's text (a source of the type text), or its pages as images",
        param=f"{at}.source",
    )


def _not_here(at: str) -> BadRequest:
    return BadRequest(
        f"{at}: the file is not here.",
        why="a file_id names a file in Anthropic's storage",
        fix="send the content itself (a source of the type base64 or text)",
        param=f"{at}.source.file_id",
    )
