"""A line to type into, or to paste what others wrote."""

from __future__ import annotations

from textual.widgets import Input

from localllm.wording.plain import plain


class Line(Input):
    """What comes into it, by whatever way, comes in harmless."""

    def validate_value(self, value: str) -> str:
        """Make it harmless; as long as it was, so that the cursor stays where it is."""
        return plain(value.replace("\t", " "))
