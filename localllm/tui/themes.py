"""Light, dark and high contrast, and none at all."""

from __future__ import annotations

from textual.theme import Theme

DARK, LIGHT, CONTRAST = "localllm-dark", "localllm-light", "localllm-contrast"

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
    ),
    Theme(
        name=CONTRAST,
        primary="#ffffff",
        secondary="#00ffff",
        accent="#ffff00",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        success="#00ff00",
        warning="#ffff00",
        error="#ff5f5f",
        dark=True,
    ),
)


def theme_for(*, no_color: bool) -> str:
    """Choose what it begins with."""
    return CONTRAST if no_color else DARK
