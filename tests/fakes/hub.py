"""A hub on loopback, close to the wire of huggingface.co: the real huggingface_hub pulls from it.

Large files come from a second host, by signed addresses that expire. Hashes are real, but for
files with a large hole, of which one of 40 GB costs nothing. It counts requests, connections and
the bytes of bodies that it sends, and fails as it is told to; see hub_faults.py.

As a process of its own: python -m tests.fakes.hub FOLDER. Each folder in it named owner--name is a
repository. It prints its addresses as JSON, is steered as hub_control.py tells, and ends with its
standard input; see hub_process.py.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.fakes.hub_control import ControlHandler
from tests.fakes.hub_faults import Fault, Stage, login_page, too_many
from tests.fakes.hub_repository import FakeRepository
from tests.fakes.hub_server import HubHandler, StorageHandler
from tests.fakes.hub_state import Asked, FakeHub
from tests.fakes.hub_wire import Server, Wire

__all__ = [
    "Asked",
    "FakeHub",
    "FakeRepository",
    "Fault",
    "Stage",
    "login_page",
    "serving",
    "too_many",
]


@contextmanager
def serving(root: Path) -> Iterator[FakeHub]:
    """Serve a hub for as long as the block lasts."""
    hub = FakeHub(root)
    with _listening(hub, HubHandler) as hub.url, _listening(hub, StorageHandler) as hub.storage_url:
        try:
            yield hub
        finally:
            hub.over.set()


@contextmanager
def _listening(hub: FakeHub, handler: type[Wire | ControlHandler]) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), partial(handler, hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    root = Path(sys.argv[1])
    with serving(root) as hub, _listening(hub, ControlHandler) as control_url:
        for folder in sorted(root.iterdir()):
            if folder.is_dir() and "--" in folder.name and "@" not in folder.name:
                repository = hub.take(folder.name.replace("--", "/", 1), folder)
                repository.newest.files()  # hashed now, not while somebody waits
        urls = {"url": hub.url, "storage_url": hub.storage_url, "control_url": control_url}
        print(json.dumps(urls), flush=True)  # noqa: T201
        sys.stdin.read()


if __name__ == "__main__":
    main()
