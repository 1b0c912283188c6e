"""Asks the daemon for something in a thread, and says on the screen what it refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual.message_pump import MessagePump

from localllm.api.sync_client import DaemonClient
from localllm.errors import LocalLLMError

if TYPE_CHECKING:  # it imports the screens
    from localllm.tui.app import Localllm


def app_of(node: MessagePump) -> Localllm:
    """The one app there is, with what is its own."""
    return cast("Localllm", node.app)


def tell(node: MessagePump, order: Callable[[DaemonClient], object]) -> None:
    """Have the daemon do something; what came of it shows with the next look."""
    app = app_of(node)

    def work() -> None:
        answer = app.source.answer(order)
        if isinstance(answer, LocalLLMError):
            app.complain(answer)

    app.run_worker(work, thread=True, group="tell")
