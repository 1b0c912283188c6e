"""`localllm config`: show, check and change the settings."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from localllm.cli.completing import known_models, own_profiles, settings, settings_said
from localllm.cli.conventions import here, json_option, print_document, say

_WRONG = 2


@click.group("config")
def command() -> None:
    """Show, check and change the settings: config.toml, and what goes over it.

    A flag goes over a variable (LOCALLLM_...), this over a profile, that over the rest of
    config.toml, and all of it over what the catalog says of a model.
    """


@command.command("show")
@click.argument("key", required=False, shell_complete=settings)
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@click.option("--model", shell_complete=known_models, help="What applies to this model.")
@click.option(
    "--profile",
    shell_complete=own_profiles,
    help="What applies to a model that is served by this profile.",
)
@json_option
def show(
    key: str | None, *, origin: bool, model: str | None, profile: str | None, as_json: bool
) -> None:
    """Show what the settings are: as the daemon has them, or without one as it would.

    KEY: one setting, or a table of them, as in supervision.
    """
    from localllm.cli.config_show import shown  # noqa: PLC0415  # heavy: only here
    from localllm.cli.render_config import render_settings  # noqa: PLC0415

    view = shown(here(), key, model, profile)
    print_document(view, render_settings(view, origin=origin), as_json=as_json)


@command.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
def check(file: Path | None, *, as_json: bool) -> None:
    """Find all that is wrong with config.toml, or with another FILE, before it is to count."""
    from localllm.cli.config_check import checked, render_checked  # noqa: PLC0415  # heavy: only here

    view = checked(here(), file)
    print_document(view, render_checked(view), as_json=as_json)
    if view.mistakes:
        raise SystemExit(_WRONG)


@command.command("path")
@json_option
def path(*, as_json: bool) -> None:
    """Show where the file is, or would be."""
    file = here().config_file
    print_document({"path": str(file), "exists": file.exists()}, [str(file)], as_json=as_json)


@command.command("init")
@click.option("--print", "prints", is_flag=True, help="Only print it.")
@click.option("--force", is_flag=True, help="Replace the file that is there; it is kept beside.")
def init(*, prints: bool, force: bool) -> None:
    """Write a config.toml that shows every setting, with what it does and what it is by itself."""
    from localllm.config.default_file import render_default  # noqa: PLC0415  # heavy: only here

    if prints:
        click.echo(render_default(), nl=False)
        return
    from localllm.cli.config_edit import write_default  # noqa: PLC0415

    say(f"wrote {write_default(here().config_file, force=force)}")


@command.command("edit")
def edit() -> None:
    """Open config.toml in $EDITOR; it is checked before it takes the old one's place."""
    from localllm.cli.config_edit import edited  # noqa: PLC0415  # heavy: only here

    if edited(here().config_file):
        _take_effect()


@command.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key", shell_complete=settings)
@click.argument("value", nargs=-1, required=True)
def set_(key: str, value: tuple[str, ...]) -> None:
    """Say in config.toml that KEY is VALUE: profiles.coding.context 65536. Comments stay."""
    from localllm.config.editing import change, find_setting, parse_value  # noqa: PLC0415  # heavy

    setting, where = find_setting(key)
    change(here().config_file, where, parse_value(setting, value))
    _take_effect()


@command.command("unset")
@click.argument("key", shell_complete=settings_said)
def unset(key: str) -> None:
    """Take KEY out of config.toml, so that it is again what it is by itself."""
    from localllm.config.editing import change, split_key  # noqa: PLC0415  # heavy: only here

    change(here().config_file, split_key(key), None)
    _take_effect()


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of config.toml, for editors."""
    from localllm.config.json_schema import render_schema  # noqa: PLC0415  # heavy: only here

    click.echo(msgspec.json.format(msgspec.json.encode(render_schema()), indent=2))


@command.command("reload")
@json_option
def reload(*, as_json: bool) -> None:
    """Have the daemon read config.toml now, and say what has changed; it does so by itself, too."""
    from localllm.api.config_client import reload_config  # noqa: PLC0415
    from localllm.api.sync_client import require_daemon  # noqa: PLC0415
    from localllm.cli.render_config import render_reload  # noqa: PLC0415

    view = reload_config(require_daemon(here().daemon_file))
    print_document(view, render_reload(view), as_json=as_json)


def _take_effect() -> None:
    """Have a daemon that runs read the file, and say what came of it."""
    from localllm.api.config_client import reload_config  # noqa: PLC0415
    from localllm.api.sync_client import connect  # noqa: PLC0415
    from localllm.cli.render_config import render_reload  # noqa: PLC0415

    client = connect(here().daemon_file)
    if client is None:
        say(f"wrote {here().config_file}")
        return
    for line in render_reload(reload_config(client)):
        say(line)
