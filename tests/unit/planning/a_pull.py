"""A desk with one engine that is asked nothing, a hub with small models, and pulls that copy files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.config.current import read_current
from localllm.engines.base import Endpoint, EngineDevice, Installed, LaunchSpec, Serving
from localllm.formats.header import Format
from localllm.paths import bundled_profiles, paths_for
from localllm.planning.desk import Desk
from localllm.planning.pull_plans import PullPlan
from localllm.store.places import hub_cache
from localllm.store.shared_cache import CachedRepository
from tests.fakes.hub import FakeHub
from tests.unit.formats.a_gguf import PLAIN, a_file, a_header
from tests.unit.planning.a_machine import an_engine

TINY = """
format = 1
id = "tiny"
name = "Tiny"
aliases = ["tiny:latest"]
license = "mit"
uses = ["chat", "vision"]
parameters = 1000
context = 4096

[gguf]
architecture = "llama"

[gguf.keys]
block_count = 2
context_length = 4096
embedding_length = 64
feed_forward_length = 128
"attention.head_count" = 4
"attention.head_count_kv" = 2
vocab_size = 3

[[repositories]]
repo = "me/Tiny-GGUF"
format = "gguf"

  [[repositories.variants]]
  quant = "Q8_0"
  files = ["tiny-Q8_0.gguf"]
  size = 4000

  [[repositories.variants]]
  quant = "Q4_K_M"
  files = ["tiny-Q4_K_M.gguf"]
  size = 2000

[[repositories]]
repo = "me/Tiny-MLX"
format = "mlx"

  [[repositories.variants]]
  quant = "4bit"
  size = 3000
"""


@dataclass(frozen=True)
class AnEngine:
    name: str = "an-engine"
    formats: frozenset[Format] = frozenset({Format.GGUF})
    devices: tuple[EngineDevice, ...] = ()

    def find(self) -> Installed:
        return replace(an_engine(self.name, *self.devices), formats=self.formats)

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        raise AssertionError("nothing is served")


def a_desk(home: Path, hub: FakeHub, **more: str) -> Desk:
    """It knows one model of its own beside the catalog."""
    environment = {
        "HOME": str(home),
        "LOCALLLM_HOME": str(home / "own"),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": hub.url,
        **more,
    }
    paths = paths_for(environment)
    desk = Desk(
        read_current(paths.config_file, environment), paths, environment, bundled_profiles()
    )
    own = desk.paths.config_file.parent / "models" / "tiny.toml"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(TINY, encoding="utf-8")
    return desk


def with_only_tiny(desk: Desk) -> Desk:
    """The same where the catalog that comes along is empty."""
    profiles = Path(desk.environment["HOME"]) / "profiles"
    profiles.mkdir(exist_ok=True)
    shutil.copy(bundled_profiles() / "quantizations.toml", profiles)
    return replace(desk, profiles=profiles)


def a_model(context: int, size: int, **keys: object) -> bytes:
    """A GGUF whose header is real, padded to a size."""
    more = {key.replace("__", "."): value for key, value in keys.items()}
    header = a_header({**PLAIN, "llama.context_length": context, **more})
    return a_file(header).ljust(size, b"\0")


def fetch(plan: PullPlan, desk: Desk, hub: FakeHub, *, only: int | None = None) -> None:
    """Do what a pull does: copy its files into the shared cache, the first `only` of them."""
    cached = CachedRepository(hub_cache(desk.environment), plan.job.repo)
    cached.make()
    for file in plan.job.files[:only]:
        assert file.etag is not None
        source = hub.repositories[plan.job.repo].folder / file.path
        cached.blob(file.etag).write_bytes(source.read_bytes())
        cached.link(plan.job.commit, file.path, file.etag)
    if plan.job.ref is not None:
        cached.write_ref(plan.job.ref, plan.job.commit)
