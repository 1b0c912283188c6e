"""The list of all that is looked at."""

from __future__ import annotations

from localllm.checkup.checks.agents import check_agents
from localllm.checkup.checks.builds import check_builds
from localllm.checkup.checks.cards import check_cards, check_vulkan
from localllm.checkup.checks.configuration import check_settings
from localllm.checkup.checks.containers import check_container
from localllm.checkup.checks.daemon import check_daemon, check_logs, check_strays
from localllm.checkup.checks.disk import disk_checks
from localllm.checkup.checks.driver import check_nvidia
from localllm.checkup.checks.files import check_rights
from localllm.checkup.checks.hub import check_hub
from localllm.checkup.checks.memory import check_limits, check_pressure, check_swap, check_wired
from localllm.checkup.checks.others import check_others
from localllm.checkup.checks.ports import check_port
from localllm.checkup.checks.power import check_sleep, check_speed
from localllm.checkup.checks.proxies import check_proxies
from localllm.checkup.checks.service import check_service
from localllm.checkup.checks.state_files import check_state_files
from localllm.checkup.checks.terminal import check_terminal
from localllm.checkup.checks.versions import check_advisories, check_versions
from localllm.checkup.checks.wsl import check_wsl
from localllm.checkup.examining import Check
from localllm.checkup.finding import Area
from localllm.checkup.packages import look_up
from localllm.checkup.place import Place

_FOLDERS = "one of our folders is on a file system that does not answer"


def all_checks(place: Place) -> list[Check]:
    """Everything, in the order of the report."""
    return [
        # what waits for others comes first: it is to be under way while the rest computes
        Check(
            "hub",
            Area.HUB,
            check_hub,
            "a name server or the hub does not answer: no model can be fetched, what is here can be served",
            f"{look_up(place, 'huggingface.co')}; localllm up --offline",
        ),
        *disk_checks(place),
        Check("programs", Area.OTHERS, check_others),
        Check("daemon", Area.DAEMON, check_daemon),
        Check("strays", Area.DAEMON, check_strays),
        Check("logs", Area.DAEMON, check_logs, _FOLDERS),
        Check(
            "nvidia",
            Area.DRIVER,
            check_nvidia,
            "the driver does not answer",
            "timeout 10 nvidia-smi",
        ),
        Check("cards", Area.DRIVER, check_cards),
        Check("vulkan", Area.DRIVER, check_vulkan),
        Check("builds", Area.ENGINE, check_builds),
        Check("limits", Area.MEMORY, check_limits),
        Check("pressure", Area.MEMORY, check_pressure),
        Check("swap", Area.MEMORY, check_swap),
        Check("wired limit", Area.MEMORY, check_wired),
        Check("port", Area.PORTS, check_port),
        Check("settings", Area.SETTINGS, check_settings, _FOLDERS),
        Check("rights", Area.FILES, check_rights, _FOLDERS),
        Check("state files", Area.FILES, check_state_files, _FOLDERS),
        Check("service", Area.SERVICE, check_service, "systemd or launchd does not answer"),
        Check("versions", Area.VERSIONS, check_versions),
        Check("holes", Area.VERSIONS, check_advisories),
        Check("proxies", Area.PROXY, check_proxies),
        Check("agents", Area.AGENTS, check_agents, "the home folder does not answer"),
        Check("sleep", Area.POWER, check_sleep),
        Check("speed", Area.POWER, check_speed),
        Check(
            "wsl", Area.WSL, check_wsl, "a drive of Windows does not answer", "wsl.exe --shutdown"
        ),
        Check("container", Area.CONTAINER, check_container),
        Check("terminal", Area.TERMINAL, check_terminal),
    ]
