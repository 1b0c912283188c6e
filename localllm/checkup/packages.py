"""How something is installed here: the command of this distribution. Pure but for reading /etc/os-release."""

from __future__ import annotations

from collections.abc import Mapping

from localllm.checkup.finding import word
from localllm.checkup.place import Place
from localllm.hardware.host import is_wsl

_INSTALLERS = {
    "debian": "sudo apt install",
    "fedora": "sudo dnf install",
    "arch": "sudo pacman -S",
    "suse": "sudo zypper install",
    "alpine": "sudo apk add",
}
_FAMILIES = {
    "debian": "debian",
    "ubuntu": "debian",
    "fedora": "fedora",
    "rhel": "fedora",
    "centos": "fedora",
    "arch": "arch",
    "suse": "suse",
    "opensuse": "suse",
    "opensuse-tumbleweed": "suse",
    "opensuse-leap": "suse",
    "alpine": "alpine",
}
VULKAN: Mapping[str, str] = {
    "debian": "mesa-vulkan-drivers",
    "fedora": "mesa-vulkan-drivers",
    "arch": "vulkan-radeon vulkan-intel",
    "suse": "libvulkan_radeon libvulkan_intel",
    "alpine": "mesa-vulkan-ati mesa-vulkan-intel",
}


def release(place: Place) -> dict[str, str]:
    """Read /etc/os-release: what this distribution says of itself."""
    pairs = (line.partition("=") for line in place.read("etc/os-release").splitlines())
    return {key: value.strip().strip("\"'") for key, _, value in pairs if value}


def family(place: Place) -> str | None:
    """Name the family of distributions; None for one that we do not know, or whose system is an image."""
    if place.exists("run/ostree-booted"):  # Silverblue, Bazzite: dnf installs nothing there
        return None
    told = release(place)
    for name in (told.get("ID", ""), *told.get("ID_LIKE", "").split()):
        if name in _FAMILIES:
            return _FAMILIES[name]
    return None


def is_ubuntu(place: Place) -> bool:
    """Whether it is Ubuntu, or made of it, as Mint."""
    told = release(place)
    return "ubuntu" in {told.get("ID", ""), *told.get("ID_LIKE", "").split()}


def install(place: Place, names: Mapping[str, str]) -> str | None:
    """Say how a package is installed; None where we do not know what it is called."""
    known = family(place)
    return None if known is None or known not in names else f"{_INSTALLERS[known]} {names[known]}"


def look_up(place: Place, host: str) -> str:
    """Say how a name is asked for."""
    if place.system == "darwin":
        return f"dscacheutil -q host -a name {word(host)}"
    return f"getent hosts {word(host)}"


def set_clock(place: Place) -> str:
    """Say how the clock is set right; under WSL2 it stands still while Windows sleeps."""
    if place.system == "darwin":
        return "sudo sntp -sS time.apple.com"
    return (
        "sudo hwclock -s"
        if is_wsl(place.root, place.environment)
        else "sudo timedatectl set-ntp true"
    )


def nvidia_driver(place: Place) -> str:
    """Say how NVIDIA's driver is installed, or brought up to date."""
    if is_ubuntu(place):
        return "sudo ubuntu-drivers install && sudo reboot"
    commands = {
        "debian": "sudo apt install nvidia-driver firmware-misc-nonfree && sudo reboot",
        "fedora": "sudo dnf install akmod-nvidia xorg-x11-drv-nvidia-cuda && sudo akmods --force && sudo reboot",
        "arch": "sudo pacman -S nvidia-open && sudo reboot",
        "suse": "sudo zypper install --auto-agree-with-licenses nvidia-open-driver-G06-signed-kmp-meta && sudo reboot",
    }
    return commands.get(family(place) or "", "xdg-open https://www.nvidia.com/drivers")
