"""The content of an item in a chat message's words. Pure."""

from __future__ import annotations

import base64
import binascii

import msgspec

from localllm.errors import BadRequest
from localllm.gateway.translate.responses_body import Object, read_as, wrong

BETWEEN = "\n\n"
"""Parts of one message, and messages that become one."""

_SEALED = "localllm:"


class Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Object | None = None


def chat_parts(content: object, where: str) -> list[Object]:
    """Translate content: text, images, sound. Of a part that is unknown, the text is kept.

    Raises:
        BadRequest: It is wrong, or refers to a file that is not in it.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [text_part(content)]
    parts = read_as(content, list[Part], where)
    found = [_chat_part(part, f"{where}[{n}]") for n, part in enumerate(parts)]
    return [part for part in found if part is not None]


def text_part(text: str) -> Object:
    """Write a part of a chat message."""
    return {"type": "text", "text": text}


def _chat_part(part: Part, where: str) -> Object | None:
    match part.type:
        case "input_image":
            return _image(part, where)
        case "input_file":
            return text_part(_file_text(part, where))
        case "input_audio" if part.input_audio is not None:
            return {"type": "input_audio", "input_audio": part.input_audio}
    text = part.text if part.text is not None else part.refusal
    return None if text is None else text_part(text)


def _image(part: Part, where: str) -> Object:
    if part.image_url is None:
        raise _not_kept(where, "image_url")
    image = {"url": part.image_url}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _file_text(part: Part, where: str) -> str:
    if part.file_data is None:
        raise _not_kept(where, "file_data")
    try:
        text = base64.b64decode(part.file_data.rpartition(",")[2], validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise wrong(
            f"{where}.file_data",
            "it is not text, and no other file can be read here",
            "send its text, or its pages as images",
        ) from error
    return f"{part.filename or 'file'}:\n{text}"


def _not_kept(where: str, needed: str) -> BadRequest:
    why = f"it has no {needed}, and no files are kept or fetched here"
    return wrong(where, why, f"send the content itself as {needed}")


def text_of(parts: list[Object]) -> str:
    """Join what is text in a chat message's parts."""
    return BETWEEN.join(str(part["text"]) for part in parts if part["type"] == "text")


def without_text(parts: list[Object]) -> list[Object]:
    """Leave what is not."""
    return [part for part in parts if part["type"] != "text"]


def simplest(parts: list[Object]) -> str | list[Object]:
    """Write parts as one text where they are text, which every chat template understands."""
    return parts if without_text(parts) else text_of(parts)


def sealed(reasoning: str) -> str:
    """Write reasoning for `encrypted_content`, which some clients alone send back.

    It hides nothing: nothing in it is a secret from the client, who has read it.
    """
    return _SEALED + base64.b64encode(reasoning.encode()).decode()


def unsealed(content: str | None) -> str | None:
    """Read what `sealed` wrote; None for what another server did."""
    if content is None or not content.startswith(_SEALED):
        return None
    try:
        return base64.b64decode(content.removeprefix(_SEALED), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
