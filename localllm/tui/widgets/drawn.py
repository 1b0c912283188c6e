"""A widget that is drawn anew only where what it shows has changed."""

from __future__ import annotations

from typing import ClassVar

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from localllm.tui.world import World


class Drawn(Static):
    """Draws the world by `render_world`; two looks a second that are alike cost next to nothing."""

    WRAPS: ClassVar[bool] = False
    """Whether long lines go on below: then it may become higher with as many lines."""

    def __init__(self, *, id: str) -> None:  # noqa: A002  # Textual's word
        super().__init__("", id=id, markup=False)
        self.display = False
        self._world = World()
        self._shown = Content("")

    def render_world(self, world: World, width: int) -> Content:
        """Say what is to be seen in so many columns; nothing: the widget is hidden."""
        raise NotImplementedError

    def show(self, world: World) -> None:
        """Draw it, if it is another than is drawn."""
        self._world = world
        width = self.content_size.width or self.app.size.width
        content = self.render_world(world, width)
        if content.is_same(self._shown):
            return
        is_as_high = not self.WRAPS and content.plain.count("\n") == self._shown.plain.count("\n")
        self._shown = content
        self.display = bool(content.plain)
        self.update(content, layout=not is_as_high)

    def on_resize(self, _event: Resize) -> None:
        # Shown at once, it is now and then not laid out anew though it has become higher, and its
        # last line is cut: Textual 8.2.8 forgets what is asked for while it lays out.
        self.call_after_refresh(lambda: self.show(self._world))
