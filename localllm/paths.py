"""Where files live. Computing a path creates nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """Directories of one installation; tests build one on `tmp_path`."""

    config: Path
    data: Path
    state: Path
    cache: Path
    runtime: Path | None = None
    """Where engines' sockets go; None is the state folder. systemd makes one for its services."""

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def daemon_log(self) -> Path:
        return self.logs / "daemon.log"

    @property
    def daemon_file(self) -> Path:
        """Who the daemon is and how to ask it; readable by its user alone."""
        return self.state / "daemon.json"

    @property
    def keys_file(self) -> Path:
        """The API keys' hashes; readable by their user alone."""
        return self.state / "keys.json"

    @property
    def lock(self) -> Path:
        """Held by the daemon for as long as it lives; the kernel lets go of it for a dead one."""
        return self.state / "daemon.lock"

    @property
    def headers(self) -> Path:
        """What was fetched of models that are not on disk."""
        return self.cache / "headers"

    @property
    def serving(self) -> Path:
        """What to serve again after a crash or a reboot."""
        return self.state / "serving.json"

    @property
    def pulls(self) -> Path:
        """What is to be pulled again after a crash or a reboot."""
        return self.state / "pulls.json"

    @property
    def ledger(self) -> Path:
        """What plans turned out to be."""
        return self.state / "ledger.json"

    @property
    def requests_db(self) -> Path:
        """What requests came to; see metrics/ledger.py."""
        return self.state / "requests.sqlite3"

    @property
    def captures(self) -> Path:
        """What clients sent, where somebody asked to see it."""
        return self.state / "captures"

    @property
    def traffic(self) -> Path:
        """The shapes of requests, where somebody asked for them to be kept."""
        return self.state / "traffic"

    @property
    def checks(self) -> Path:
        """What examinations of models have found."""
        return self.state / "checks"

    @property
    def agents(self) -> Path:
        """What was written into agents' files, so that it can be taken back."""
        return self.state / "agents"

    @property
    def tokenizers(self) -> Path:
        """What tokenizers made of a fixed text."""
        return self.state / "tokenizers.json"

    @property
    def prefixes(self) -> Path:
        """What engines have read of prompts, to go on with; their user alone may enter it."""
        return self.state / "prefixes"

    @property
    def prefix_key(self) -> Path:
        """Without it, what is noted of prompts tells nothing of them."""
        return self.state / "prefix.key"

    @property
    def engines(self) -> Path:
        """Builds that were fetched, each in a folder of its own."""
        return self.data / "engines"

    @property
    def bench(self) -> Path:
        """How fast `engine bench` found the engines to be."""
        return self.state / "engine-bench.json"

    @property
    def benches(self) -> Path:
        """What `bench` measured, a file for each run."""
        return self.state / "benches"

    @property
    def sockets(self) -> Path:
        return self.runtime or self.state / "sockets"


def paths_for(environment: Mapping[str, str]) -> Paths:
    """Find the directories: under LOCALLLM_HOME if it is set, else where the system wants them."""
    home, sockets = environment.get("LOCALLLM_HOME"), environment.get("LOCALLLM_SOCKETS")
    runtime = Path(sockets).absolute() if sockets else None
    if home:
        root = Path(home).expanduser().absolute()
        return Paths(root / "config", root / "data", root / "state", root / "cache", runtime)
    from platformdirs import PlatformDirs  # noqa: PLC0415  # 20 ms that LOCALLLM_HOME saves

    dirs = PlatformDirs("localllm", appauthor=False)
    return Paths(
        Path(dirs.user_config_dir),
        Path(dirs.user_data_dir),
        Path(dirs.user_state_dir),
        Path(dirs.user_cache_dir),
        runtime,
    )


def bundled_profiles() -> Path:
    """Find the profiles shipped with the program.

    A wheel carries them inside the package; a checkout has them beside it.
    """
    package = Path(__file__).parent
    installed = package / "_profiles"
    return installed if installed.is_dir() else package.parent / "profiles"
