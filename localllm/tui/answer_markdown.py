"""Reads what models write as Markdown. Pure."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

from localllm.wording.plain import plain


def markdown_parser() -> MarkdownIt:
    """Read it as GitHub does, but for HTML: tags are shown as they are written.

    Models write <think> and <div> in prose, and Textual would show nothing of them. What entities
    stand for is harmless as well: &#8238; would turn a line around.
    """
    parser = MarkdownIt("gfm-like", {"html": False})
    parser.core.ruler.push("plain", _make_plain)
    return parser


def _make_plain(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            child.content = plain(child.content)
