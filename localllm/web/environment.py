"""What a screen in a browser gets to see of the environment: no key of anybody's. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "LC_COLLATE",
        "LC_CTYPE",
        "LC_MESSAGES",
        "LC_MONETARY",
        "LC_NUMERIC",
        "LC_TIME",
        "LOCALLLM_HOME",
        "LOGNAME",
        "NO_COLOR",
        "PATH",
        "TMPDIR",
        "TZ",
        "USER",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "XDG_STATE_HOME",
        # where this Python and what it is linked with are found
        "DYLD_LIBRARY_PATH",
        "LD_LIBRARY_PATH",
        "PYTHONHOME",
        "PYTHONPATH",
    }
)

_TERMINAL = {
    "COLORTERM": "truecolor",
    "TERM": "xterm-256color",
    "TERM_PROGRAM": "textual",
    "TEXTUAL_COLOR_SYSTEM": "truecolor",
    "TEXTUAL_DRIVER": "localllm.tui.in_browser:BrowserDriver",
    "TEXTUAL_FPS": "60",
}
"""What textual-serve 1.1.3 sets; the driver is ours."""


def screen_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Keep what names folders and tells how to show things, by name; add what the page can show.

    Nobody can list all variables in which a secret may be, so what is not known is left out; by
    whole names, since some call a secret LC_ so that ssh passes it on.
    """
    kept = {name: value for name, value in environment.items() if name in _NAMES}
    return kept | _TERMINAL
