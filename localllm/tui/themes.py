"""Light, dark and high contrast, and none at all."""

from __future__ import annotations

from textual.theme import Theme

DARK, LIGHT, CONTRAST = "localllm-dark", "localllm-light", "localllm-contrast"


def _beside(*, cursor: str, at_rest: str, text: str, bar: str) -> dict[str, str]:
    """Colours that Textual would derive from others.

    Args:
        cursor: Ground of the row that keys are about: one on which a bar keeps its colours.
        at_rest: The same, where the keyboard is elsewhere.
        text: On either.
        bar: That scrolls.
    """
    return {
        "block-cursor-background": cursor,
        "block-cursor-foreground": text,
        "block-cursor-blurred-background": at_rest,
        "block-cursor-blurred-foreground": text,
        "scrollbar": bar,
        "scrollbar-background": at_rest,
        "scrollbar-background-hover": at_rest,
        "scrollbar-background-active": at_rest,
    }


THEMES = (
    Theme(
        name=DARK,
        primary="#7aa2f7",
        secondary="#7dcfff",
        accent="#bb9af7",
        foreground="#c8d0e0",
        background="#11131a",
        surface="#181b24",
        panel="#20242f",
        success="#9ece6a",
        warning="#e0af68",
        error="#f7768e",
        dark=True,
        variables=_beside(cursor="#2b3756", at_rest="#222839", text="#ffffff", bar="#3a4666"),
    ),
    Theme(
        name=LIGHT,
        primary="#2e5cb8",
        secondary="#0f6f86",
        accent="#7a3ea8",
        foreground="#20242c",
        background="#fbfbf8",
        surface="#f1f1ec",
        panel="#e5e6e0",
        success="#2f6f1f",
        warning="#8a5a00",
        error="#b3203a",
        dark=False,
        variables=_beside(cursor="#cfdcf5", at_rest="#e2e7ee", text="#11141a", bar="#b9c0cc"),
    ),
    Theme(
        name=CONTRAST,
        primary="#ffffff",
        secondary="#00ffff",
        accent="#ffa0ff",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        success="#00ff00",
        warning="#ffff00",
        error="#ffadad",
        dark=True,
        variables=_beside(cursor="#333333", at_rest="#222222", text="#ffffff", bar="#a0a0a0")
        | {"foreground-muted": "#d8d8d8", "block-cursor-text-style": "bold underline"},
    ),
)


def theme_for(*, no_color: bool) -> str:
    """Choose what it begins with."""
    return CONTRAST if no_color else DARK
