"""What the fake hub serves, how it behaves, and what it saw."""

from __future__ import annotations

import hashlib
import hmac
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.fakes.hub_faults import Fault, Faults, Pace, Stage
from tests.fakes.hub_repository import FakeRepository, HubFile


@dataclass
class Asked:
    """One request."""

    host: str
    """`hub` or `storage`."""

    method: str
    target: str
    range: str | None
    token: str | None
    """As it was sent; None: none."""

    status: int | None = None
    """None: not answered, or not yet."""

    @property
    def line(self) -> str:
        return f"{self.method} {self.target}"


@dataclass
class FakeHub:
    root: Path
    repositories: dict[str, FakeRepository] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    """Former names of repositories, and those that they have now."""

    url: str = ""
    storage_url: str = ""
    """Where large files are, by signed addresses."""

    log: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    """Of bodies; a client may have closed before it read them all."""

    sent_of: Counter[str] = field(default_factory=Counter)
    """The same by file, as in owner/name/path."""

    connections: int = 0
    """That are open now."""

    most_connections: int = 0
    sending: int = 0
    """Files that are being sent now."""

    most_sending: int = 0
    sent_between: tuple[float, float] | None = None
    """When the first file's first byte and the last one's last were sent, on the monotonic clock."""

    ignores_ranges: bool = False
    announces_xet: bool = False
    links_small_files: bool = False
    """Redirect for small files, too, by a relative address, as huggingface.co does."""

    dies_after_bytes: int | None = None
    """Send no more than so many in all, and close the connection in the middle of a file."""

    answers: tuple[int, bytes] | None = None
    """Answer everything with this status and body: a broken hub, or a login page."""

    expires_s: float = 3600.0
    """How long a signed address serves."""

    expires_after_requests: int | None = None
    token: str = "hf_valid"
    send_buffer_bytes: int | None = None
    """Of a connection, in the kernel; None: as the system has it."""

    clock: Callable[[], float] = time.time
    pace: Pace = field(default_factory=Pace)
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends."""

    _faults: Faults = field(default_factory=Faults)
    _cuts: list[int] = field(default_factory=list)
    _used: Counter[str] = field(default_factory=Counter)
    _signed: int = 0
    _expired_up_to: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, **options: object) -> FakeRepository:
        folder = self.root / name.replace("/", "--")
        folder.mkdir(parents=True)
        return self.take(name, folder, **options)

    def take(self, name: str, folder: Path, **options: object) -> FakeRepository:
        """Serve a folder that is there."""
        self.repositories[name] = FakeRepository(name, folder, **options)  # type: ignore[arg-type]
        return self.repositories[name]

    @property
    def requests(self) -> list[str]:
        """Method and target of each, in order."""
        return [asked.line for asked in self.log]

    @property
    def tokens(self) -> set[str | None]:
        """That the hub itself was sent; the storage must never see any."""
        return {asked.token for asked in self.log if asked.host == "hub"}

    @property
    def storage_tokens(self) -> set[str | None]:
        return {asked.token for asked in self.log if asked.host == "storage"}

    @property
    def bytes_per_s(self) -> float | None:
        """Of all connections together; None: as fast as it goes."""
        return self.pace.bytes_per_s

    @bytes_per_s.setter
    def bytes_per_s(self, rate: float | None) -> None:
        self.pace.bytes_per_s = rate

    def saw(self, asked: Asked) -> None:
        with self._lock:
            self.log.append(asked)

    def forget(self) -> None:
        """Count anew."""
        with self._lock:
            self.log, self.sent_bytes = [], 0
            self.sent_of.clear()
            self.sent_between = None
            self.most_connections, self.most_sending = self.connections, self.sending

    def fail(self, *faults: Fault) -> None:
        for fault in faults:
            self._faults.plan(fault)

    def heal(self) -> None:
        """Let all go well from now on."""
        self._faults.heal()
        self._cuts = []
        self.answers, self.dies_after_bytes, self.ignores_ranges = None, None, False

    def meet(self, at: Stage, method: str, *names: str) -> Fault | None:
        return self._faults.meet(at, method, *names)

    def cut_at_random(self, times: int, within_bytes: int, seed: int) -> None:
        """Cut so often at random bytes of all files that are sent from now on."""
        with self._lock:
            sent = sum(self.sent_of.values())
            chosen = random.Random(seed).sample(range(1, within_bytes), times)
            self._cuts = [sent + at for at in sorted(chosen)]

    @property
    def cuts_left(self) -> int:
        return len(self._cuts)

    def claim(self, name: str, count: int) -> tuple[int, bool]:
        """Tell how many of these bytes may be sent, and whether to cut the connection then."""
        with self._lock:
            sent = sum(self.sent_of.values())
            allowed, cut = count, False
            if self.dies_after_bytes is not None:
                left = max(0, self.dies_after_bytes - self.sent_bytes)
                allowed, cut = (left, True) if left < count else (count, False)
            if self._cuts and self._cuts[0] <= sent + allowed:
                allowed, cut = self._cuts.pop(0) - sent, True
            self._count(name, allowed)
            return allowed, cut

    def refund(self, name: str, count: int) -> None:
        """Uncount bytes that were claimed and could not be sent."""
        with self._lock:
            self._count(name, -count)

    def sends(self, count: int) -> None:
        with self._lock:
            self.sent_bytes += count

    def _count(self, name: str, count: int) -> None:
        self.sent_bytes += count
        self.sent_of[name] += count

    @contextmanager
    def connected(self) -> Iterator[None]:
        with self._lock:
            self.connections += 1
            self.most_connections = max(self.most_connections, self.connections)
        try:
            yield
        finally:
            with self._lock:
                self.connections -= 1

    @contextmanager
    def transfer(self) -> Iterator[None]:
        with self._lock:
            self.sending += 1
            self.most_sending = max(self.most_sending, self.sending)
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self.sending -= 1
                first = min(began, self.sent_between[0]) if self.sent_between else began
                self.sent_between = first, time.monotonic()

    def sign(self, found: HubFile, commit: str) -> str:
        """Make an address in the storage that serves for a while."""
        with self._lock:
            self._signed += 1
            number = self._signed
        path = f"/storage/{found.repository}/{commit}/{quote(found.path)}"
        expires = str(self.clock() + self.expires_s)
        signature = self._signature(path, expires, str(number))
        return f"{self.storage_url}{path}?Expires={expires}&Id={number}&Signature={signature}"

    def is_valid(self, path: str, expires: str, number: str, signature: str) -> bool:
        """Tell whether a signed address serves still; this counts as a use of it."""
        if not hmac.compare_digest(signature, self._signature(path, expires, number)):
            return False
        with self._lock:
            self._used[number] += 1
            used, most = self._used[number], self.expires_after_requests
        in_time = self.clock() < float(expires) and int(number) > self._expired_up_to
        return in_time and (most is None or used <= most)

    def expire(self) -> None:
        """End all signed addresses that were given so far."""
        self._expired_up_to = self._signed

    def _signature(self, path: str, expires: str, number: str) -> str:
        text = f"{path} {expires} {number}".encode()
        return hmac.new(str(self.root).encode(), text, hashlib.sha256).hexdigest()
