"""The text of the systemd user units, with the reason for each line. Pure.

What of systemd's hardening works was tried with systemd 252, as the manager of a user without
rights: what needs a mount namespace (ProtectSystem, ProtectHome, InaccessiblePaths, PrivateTmp)
does nothing there, and with PrivateUsers the daemon could not look at processes outside, nor
could the reaper find orphans; what drops capabilities (PrivateDevices, ProtectClock,
ProtectKernelLogs, ProtectKernelModules) does not start at all. Filters of system calls do work.
"""

from __future__ import annotations

import msgspec

from localllm.service.quoting import command_line, quoted
from localllm.service.wanted import Wanted

UNIT = "localllm.service"
SOCKET_UNIT = "localllm.socket"
_OURS = "[X-localllm]"
"""A section that systemd leaves alone; what the file was made of is in it."""

_MADE_OF = "MadeOf="
_SERVICE = """\
# Written by `localllm service install`, and written anew by it. Your own settings go beside it:
# systemctl --user edit localllm
[Unit]
Description=localllm, local language models behind one endpoint
# Five ends within 20 minutes are no accident; then it waits for somebody. Five starts that hang
# (TimeoutStartSec, then TimeoutStopSec) take more than 15 minutes.
StartLimitIntervalSec=1200
StartLimitBurst=5
{requires}
[Service]
Type=notify
NotifyAccess=main
{first}ExecStart={command}
ExecReload=kill -HUP $MAINPID
WorkingDirectory=/
{environment}
# The event loop says every 20 s that it turns; a machine that swaps may hold it up for some time.
# If it hangs, all of the service ends and starts again with what was served; where it hung is in
# the log.
WatchdogSec=60
TimeoutAbortSec=10
TimeoutStartSec=90
# Running requests are finished first; the daemon says how long its settings allow for that.
TimeoutStopSec=90
KillMode=mixed
# `localllm down` and a wrong config.toml (exit 2) are final, a crash is not.
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2

# Engines' sockets, for this user alone.
RuntimeDirectory=localllm
RuntimeDirectoryMode=0700

# A plan leaves more than this to the system, so no model that fits is ended by it; what leaks is.
# There is no MemoryHigh: it slows a model that is mapped from its file down to a crawl.
MemoryMax=97%
# An engine that the kernel ends for memory is the daemon's to replace; the others go on.
OOMPolicy=continue
# The daemon raises the first to what its connections take.
LimitNOFILE=1024:524288
LimitMEMLOCK=infinity
# A core would hold prompts, and a model.
LimitCORE=0
TasksMax=16384

# GPUs stay in reach: no PrivateDevices, and no MemoryDenyWriteExecute, since they compile as they go.
NoNewPrivileges=yes
{filters}{install}
{ours}
{made_of}{json}
"""
_FILTERS = """\
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @module @mount @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
"""
_INSTALL = "\n[Install]\nWantedBy=default.target\n"
_SOCKET = """\
# Written by `localllm service install --socket`: the first request starts the daemon.
[Unit]
Description=localllm's endpoint

[Socket]
{listens}
BindIPv6Only=ipv6-only
Backlog=512
# An address of the network may come later than the login.
FreeBind=yes

[Install]
WantedBy=sockets.target
"""


def render_service(wanted: Wanted) -> str:
    """Write the service.

    Raises:
        CannotBeWritten: A path or a variable has what no unit can hold.
    """
    first = ""
    if wanted.first:  # `+` lets it be root, which a program of the service may not become
        first = f"ExecStartPre=-+{command_line(*wanted.first)}\n"
    variables = [f"{name}={value}" for name, value in wanted.environment.items()]
    lines = [f"Environment={quoted(one)}" for one in variables]
    return _SERVICE.format(
        requires=f"Requires={SOCKET_UNIT}\nAfter={SOCKET_UNIT}\n" if wanted.sockets else "",
        first=first,
        command=command_line(wanted.python, *wanted.arguments),
        environment="\n".join([*lines, "Environment=LOCALLLM_SOCKETS=%t/localllm"]),
        filters=_FILTERS if wanted.filters else "",
        install="" if wanted.sockets else _INSTALL,
        ours=_OURS,
        made_of=_MADE_OF,
        json=msgspec.json.encode(wanted).decode(),
    )


def render_socket(wanted: Wanted) -> str:
    """Write the socket unit."""
    return _SOCKET.format(listens="\n".join(f"ListenStream={one}" for one in wanted.sockets))


def render_units(wanted: Wanted) -> dict[str, str]:
    """Write all files of the service, by their names."""
    units = {UNIT: render_service(wanted)}
    return {**units, SOCKET_UNIT: render_socket(wanted)} if wanted.sockets else units


def parse_made_of(text: str) -> Wanted | None:
    """Read what a unit was made of; None if it is not ours, or of a version that is not known."""
    lines = text.partition(_OURS)[2].split("\n")  # a value may have other line ends in it
    made_of = next((one for one in lines if one.startswith(_MADE_OF)), None)
    if made_of is None:
        return None
    try:
        return msgspec.json.decode(made_of.removeprefix(_MADE_OF), type=Wanted)
    except msgspec.DecodeError:
        return None
