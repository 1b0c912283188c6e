"""How the screen talks to a page: Textual's own driver, which is told when nobody is there any more."""

from __future__ import annotations

import os

from textual.drivers.web_driver import WebDriver


class BrowserDriver(WebDriver):
    """Ends this process with its input, as a terminal's hangup would.

    Textual 8.2 stops to read then, and goes on to draw.
    """

    def run_input_thread(self) -> None:
        super().run_input_thread()
        if not self.exit_event.is_set():
            os._exit(0)  # it holds nothing that has to be put down
