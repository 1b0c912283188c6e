"""`localllm engine`: which engines are here, and getting, changing and removing those that we fetch."""

from __future__ import annotations

from pathlib import Path

import click

from localllm.cli.completing import builds, fetched_engines, installed_builds, models_here
from localllm.cli.conventions import here, json_option, print_document, say


@click.group("engine")
def command() -> None:
    """Show, install, choose and compare engines."""


@command.command("list")
@json_option
def list_engines(*, as_json: bool) -> None:
    """Show every engine with its devices, and every build that could be fetched for this machine."""
    from localllm.cli.get_engine import a_desk  # noqa: PLC0415  # heavy
    from localllm.cli.render_engines import render_engines as draw  # noqa: PLC0415
    from localllm.formats.header import Format  # noqa: PLC0415
    from localllm.planning.engine_views import render_engines  # noqa: PLC0415

    desk = a_desk(here())
    view = render_engines(desk.engine_desk, desk.survey(formats=Format))
    print_document(view, draw(view), as_json=as_json)


@command.command("install")
@click.argument("build", required=False, shell_complete=builds)
@click.option(
    "--from",
    "place",
    type=click.Path(exists=True, path_type=Path),
    help="A folder or an archive that was brought here, for a machine without network.",
)
@click.option("--yes", is_flag=True, help="Answer yes to the question about the download.")
@json_option
def install(build: str | None, *, place: Path | None, yes: bool, as_json: bool) -> None:
    """Fetch BUILD, check it, have it run a tiny model on the device, and put it in use.

    Without BUILD: the best one for this machine.
    """
    from localllm.cli import get_engine as get  # noqa: PLC0415  # heavy
    from localllm.engines.builds.fitting import Candidate  # noqa: PLC0415
    from localllm.planning.engine_desk import for_the_accelerator  # noqa: PLC0415
    from localllm.planning.engine_views import render_builds  # noqa: PLC0415

    desk = get.a_desk(here())
    machine = desk.probe()
    if place is not None:
        shelved = get.get_from_disk(desk, place.absolute(), machine)
    else:
        candidates = desk.engine_desk.candidates(machine)
        wanted = (
            for_the_accelerator(candidates)
            if build is None
            else desk.engine_desk.named(build, candidates)
        )
        shelved = get.get_engine(desk, machine, wanted, yes=yes)
    view = render_builds(desk.engine_desk, [Candidate(shelved.build)])
    mine = next(b for b in view if b.id == shelved.build.id)
    print_document(mine, [f"{mine.id} is in use"], as_json=as_json)


@command.command("use")
@click.argument("build", shell_complete=installed_builds)
def use(build: str) -> None:
    """Put an installed BUILD in use; what is served changes at its next start."""
    from localllm.engines.builds.shelf import Shelf  # noqa: PLC0415  # heavy

    shelf = Shelf(here().engines)
    with shelf.locked():
        shelf.use(shelf.find(build))
    say(f"{build} is in use; localllm up starts what is served with it")


@command.command("rollback")
@click.argument("engine", default="llama-server", shell_complete=fetched_engines)
def rollback(engine: str) -> None:
    """Go back to the build of ENGINE that was in use before."""
    from localllm.engines.builds.shelf import Shelf  # noqa: PLC0415  # heavy

    shelf = Shelf(here().engines)
    with shelf.locked():
        shelved = shelf.roll_back(engine)
    say(f"{shelved.build.id} is in use; localllm up starts what is served with it")


@command.command("rm")
@click.argument("build", shell_complete=installed_builds)
@click.option("--force", is_flag=True, help="Also the one that is in use.")
def remove(build: str, *, force: bool) -> None:
    """Delete an installed BUILD."""
    from localllm.engines.builds.shelf import Shelf  # noqa: PLC0415  # heavy

    shelf = Shelf(here().engines)
    with shelf.locked():
        shelf.remove(shelf.find(build), force=force)
    say(f"{build} is removed")


@command.command("bench")
@click.argument("model", required=False, shell_complete=models_here)
@click.option("--rounds", type=click.IntRange(1, 20), default=3, help="How often each is started.")
@click.option("--allow-cpu", is_flag=True, help="Compare on the processor too.")
@json_option
def bench(model: str | None, *, rounds: int, allow_cpu: bool, as_json: bool) -> None:
    """Measure how fast each engine here serves MODEL; the planner prefers the quicker one.

    Without MODEL: the small one that is embedded.
    """
    from localllm.api.sync_client import connect  # noqa: PLC0415  # heavy, all of them
    from localllm.api.views import ServeRequest  # noqa: PLC0415
    from localllm.cli.conventions import absolute  # noqa: PLC0415
    from localllm.cli.get_engine import a_desk  # noqa: PLC0415
    from localllm.cli.render_engines import render_bench, render_round  # noqa: PLC0415
    from localllm.planning.benching import bench as compare  # noqa: PLC0415
    from localllm.planning.engine_views import render_comparison  # noqa: PLC0415

    paths = here()
    client = connect(paths.daemon_file)
    if client is not None and client.models():
        say("warning: models are served meanwhile, which takes speed and memory: localllm down")
    request = ServeRequest(model=absolute(model), allow_cpu=allow_cpu)
    benched, left = compare(
        a_desk(paths), request, rounds, lambda name, pace: say(render_round(name, pace))
    )
    view = render_comparison(benched, left)
    print_document(view, render_bench(view), as_json=as_json)
