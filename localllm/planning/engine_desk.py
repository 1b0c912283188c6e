"""Which engines there are for this user, and which of them serves what: the desk's half about engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from localllm.api.views import ServeRequest
from localllm.catalog.builds import Build, Drives, read_builds
from localllm.config.settings import Settings
from localllm.engines.base import Engine, Installed, cuda_environment
from localllm.engines.bench_file import read_speeds
from localllm.engines.builds import installed
from localllm.engines.builds.fitting import Candidate, fitting, this_runtime
from localllm.engines.builds.shelf import Shelf
from localllm.engines.builds.trial import MODEL
from localllm.engines.builds.workshop import Tell, Workshop
from localllm.engines.llama_cpp_python import LlamaCppPython
from localllm.engines.mlx import Mlx
from localllm.engines.sglang import Sglang
from localllm.engines.vllm import Vllm
from localllm.errors import EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.machine import DeviceKind, Machine
from localllm.paths import Paths
from localllm.planning.choice import Choice, Wanted, choose_engine, preferred
from localllm.planning.survey import Survey


@dataclass(frozen=True, slots=True)
class Choices:
    """The engine for each format that can be served, and on what."""

    of: Mapping[Format, Choice]
    caveat: str | None = None
    """Why the first is one in theory alone: no engine reaches the devices."""

    @property
    def first(self) -> Choice:
        return next(iter(self.of.values()))

    def engine(self, format_: Format) -> str | None:
        """The name of the engine that serves a format; None where none does."""
        choice = None if self.caveat else self.of.get(format_)
        return None if choice is None else choice.installed.engine


@dataclass(frozen=True, slots=True)
class EngineDesk:
    settings: Settings
    paths: Paths
    environment: Mapping[str, str]
    profiles: Path

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.paths.engines)

    def engines(self, environment: Mapping[str, str]) -> Sequence[Engine]:
        """All that this version knows, the preferred first; those that we fetched among them."""
        shelf, own = self.shelf, self.settings.llama_server
        return (
            installed.xllamacpp(shelf, environment),
            installed.llama_server(shelf, own, environment),
            LlamaCppPython(environment),
            Mlx(environment),
            Vllm(environment),
            Sglang(environment),
        )

    def builds(self) -> Sequence[Build]:
        """Every build that could be fetched, for whatever machine."""
        return read_builds(self.profiles, self.paths.config)

    def candidates(self, machine: Machine) -> Sequence[Candidate]:
        """Those for this system and its devices, in the order in which they should be tried."""
        builds = self.builds()
        return fitting(machine, builds, this_runtime(builds))

    def curing(self, machine: Machine, request: ServeRequest) -> Sequence[Candidate]:
        """Those that may be fetched where no engine here can serve; a program of the user's own goes before."""
        name = request.engine or self.settings.engine
        if self.settings.llama_server is not None:
            return ()
        candidates = for_the_accelerator(self.candidates(machine))
        return [one for one in candidates if name in {None, one.build.engine}]

    def named(self, build: str, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """The build of an id, for a machine.

        Raises:
            EngineUnusable: It is unknown, or for another system.
        """
        found = [candidate for candidate in candidates if candidate.build.id == build]
        if found:
            return found
        ids = [candidate.build.id for candidate in candidates]
        near = get_close_matches(build, ids, n=1)
        raise EngineUnusable(
            f"There is no build {build!r} for this machine"
            + (f", did you mean {near[0]}?" if near else "."),
            why=f"there are {', '.join(ids) or 'none'}",
            fix="localllm engine list",
        )

    def workshop(
        self,
        machine: Machine,
        tell: Tell,
        warn: Callable[[str], None],
        folder: Path | None = None,
    ) -> Workshop:
        """What builds are installed with.

        Args:
            machine: NVIDIA devices are shown to a build as they will be when it serves.
            folder: Where their files lie; None: they are downloaded.
        """
        uuids = [d.uuid for d in machine.devices if d.uuid is not None]
        return Workshop(
            shelf=self.shelf,
            environment={**self.environment, **cuda_environment(uuids)},
            trial_model=self.profiles / "engines" / MODEL,
            mirror=self.settings.engine_mirror,
            folder=folder,
            tell=tell,
            warn=warn,
        )

    def choose(self, seen: Survey, request: ServeRequest, format_: Format) -> Choice:
        """Choose the engine for a format.

        Raises:
            EngineUnusable: There is an accelerator and no engine that can use it, or no engine.
        """
        return choose_engine(seen, self._wanted(request, format_))

    def choices(self, seen: Survey, request: ServeRequest, formats: Iterable[Format]) -> Choices:
        """Choose an engine for each format for which there is one.

        Raises:
            EngineUnusable: For none of them.
        """
        chosen: dict[Format, Choice] = {}
        failed: EngineUnusable | None = None
        for format_ in formats:
            try:
                chosen[format_] = self.choose(seen, request, format_)
            except EngineUnusable as error:
                failed = failed or error
        if not chosen and failed is not None:
            raise failed
        return Choices(chosen)

    def choices_or_say(self, seen: Survey, request: ServeRequest) -> Choices:
        """Choose for every format; plan for the accelerator all the same where no engine reaches it."""
        wanted = request.engine or self.settings.engine
        if wanted is not None and all(e.engine != wanted for e in seen.engines):
            self.choose(seen, request, Format.GGUF)  # which says that there is none of that name
        try:
            return self.choices(seen, request, Format)
        except EngineUnusable as error:
            accelerators = tuple(preferred(seen.machine.accelerators()))
            choice = Choice(seen.engines[0], accelerators)
            return Choices({Format.GGUF: choice}, f"{error.what} {error.fix}.")

    def choices_for(self, machine: Machine) -> tuple[Survey, Choices]:
        """What a machine that is described would serve with: everything that exists for it."""
        first = self.engines(self.environment)[0].find()
        alike = tuple(preferred(machine.accelerators()))
        of = {Format.GGUF: Choice(first, alike)}
        if any(device.kind is DeviceKind.METAL for device in alike):
            of[Format.MLX] = Choice(Installed(Mlx.name, None, ()), alike)
        return Survey(machine, (first,), {}), Choices(of)

    def _wanted(self, request: ServeRequest, format_: Format) -> Wanted:
        return Wanted(
            engine=request.engine or self.settings.engine,
            format=format_,
            allow_cpu=request.allow_cpu or self.settings.allow_cpu,
            speeds=read_speeds(self.paths.bench),
        )


def for_the_accelerator(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Leave out what runs on the processor alone, unless there is nothing else to run on."""
    driving = [c for c in candidates if c.build.drives is not Drives.CPU]
    return driving or candidates
