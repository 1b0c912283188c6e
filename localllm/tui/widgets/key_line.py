"""The line of keys at the bottom: Textual's, made anew only when other keys work than before."""

from __future__ import annotations

from textual.screen import Screen
from textual.widgets import Footer


class KeyLine(Footer):
    """Textual 8.2 makes a widget a key, several times over, whenever a screen is shown or the focus moves.

    Of the 65 ms of a processor that another screen took on this project's machine, those were 48.
    """

    def __init__(self, *, compact: bool = False) -> None:
        super().__init__(compact=compact)
        self._keys: list[tuple[str, str, bool, str]] | None = None

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Look which there are, once the screen has come to rest."""
        self._bindings_ready = True
        if screen.app.app_focus and self.is_attached and screen is self.screen:
            self.call_after_refresh(self._renew)

    async def _renew(self) -> None:
        if not self.is_attached:  # its screen has been left meanwhile
            return
        keys = [
            (one.binding.key, one.binding.description, one.enabled, one.tooltip)
            for one in self.screen.active_bindings.values()
            if one.binding.show
        ]
        if keys != self._keys:
            self._keys = keys
            await self.recompose()
