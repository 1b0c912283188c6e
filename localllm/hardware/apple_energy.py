"""What Apple's chips count of the energy they use, without root: IOReport's group "Energy Model".

The second door to macOS beside sysctl: a library of Apple's that is private, so that whatever is
missing or other than expected tells nothing. powermetrics reads the same and wants root.

Sources: vladkens/macmon (src of IOReport and of the channels' names) and ml-energy/zeus-apple-silicon,
whose `get_cumulative_energy` shows that one sample holds sums, not differences.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from localllm.events import DeviceId
from localllm.hardware.energy import Counter, EnergyReading
from localllm.hardware.machine import CPU

METAL = DeviceId("metal:0")
IOREPORT = "/usr/lib/libIOReport.dylib"
CORE_FOUNDATION = "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation"

_GROUP, _CHANNELS = b"Energy Model", b"IOReportChannels"
_UTF8 = 0x08000100
_MOST_NAME = 256
_UNITS = {"mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9}
_POINTER, _COUNT = ctypes.c_void_p, ctypes.c_long

_OF_CORE_FOUNDATION = {
    "CFRelease": (None, (_POINTER,)),
    "CFStringCreateWithCString": (_POINTER, (_POINTER, ctypes.c_char_p, ctypes.c_uint32)),
    "CFStringGetCString": (
        ctypes.c_ubyte,
        (_POINTER, ctypes.c_char_p, _COUNT, ctypes.c_uint32),
    ),
    "CFDictionaryGetCount": (_COUNT, (_POINTER,)),
    "CFDictionaryCreateMutableCopy": (_POINTER, (_POINTER, _COUNT, _POINTER)),
    "CFDictionaryGetValue": (_POINTER, (_POINTER, _POINTER)),
    "CFArrayGetCount": (_COUNT, (_POINTER,)),
    "CFArrayGetValueAtIndex": (_POINTER, (_POINTER, _COUNT)),
}
_OF_IOREPORT = {
    "IOReportCopyChannelsInGroup": (_POINTER, (_POINTER, _POINTER, *(ctypes.c_uint64,) * 3)),
    "IOReportCreateSubscription": (
        _POINTER,
        (_POINTER, _POINTER, ctypes.POINTER(_POINTER), ctypes.c_uint64, _POINTER),
    ),
    "IOReportCreateSamples": (_POINTER, (_POINTER, _POINTER, _POINTER)),
    "IOReportChannelGetChannelName": (_POINTER, (_POINTER,)),
    "IOReportChannelGetUnitLabel": (_POINTER, (_POINTER,)),
    "IOReportSimpleGetIntegerValue": (ctypes.c_int64, (_POINTER, ctypes.c_int)),
}


class _Refused(Exception):
    """The library is not there, or does not do what it did."""


@dataclass(slots=True)
class AppleEnergy:
    """Mutable, and used by one thread at a time. Opens the library at the first look, and keeps it.

    Args:
        ioreport: Where IOReport is.
        core_foundation: Where its strings and lists are.
    """

    ioreport: str = IOREPORT
    core_foundation: str = CORE_FOUNDATION
    _open: _Subscription | None = None
    _refused: bool = False

    def read(self) -> Mapping[DeviceId, EnergyReading]:
        """Tell what processor and GPU have used; nothing where the chip or the library does not."""
        if self._refused:
            return {}
        try:
            if self._open is None:
                self._open = _subscribe(_Library(self.ioreport, self.core_foundation))
            return readings_of(self._open.sample())
        except (_Refused, OSError, AttributeError):
            self._refused = True
            return {}


def readings_of(sample: Mapping[str, float]) -> Mapping[DeviceId, EnergyReading]:
    """Sort the channels of a sample by device; those that are parts of others are left out.

    "CPU Energy" and "GPU Energy" are there once for each die of an Ultra, as in "DIE_0_CPU Energy".
    Memory and what is near the GPU count to the GPU: that is where a model is read.
    """
    parts: dict[DeviceId, dict[str, Counter]] = {}
    for channel, joules in sample.items():
        device = _device_of(channel)
        if device is not None:
            parts.setdefault(device, {})[channel] = Counter(joules)
    return {device: EnergyReading(counters) for device, counters in parts.items()}


def _device_of(channel: str) -> DeviceId | None:
    if channel.endswith("CPU Energy"):
        return CPU
    if channel.endswith("GPU Energy") or channel.startswith(("GPU SRAM", "DRAM")):
        return METAL
    return None


@dataclass(frozen=True, slots=True)
class _Library:
    """The functions of both libraries that are needed, their types declared."""

    ioreport: str
    core_foundation: str
    functions: dict[str, ctypes._NamedFuncPointer] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        wanted = ((self.ioreport, _OF_IOREPORT), (self.core_foundation, _OF_CORE_FOUNDATION))
        for path, functions in wanted:
            library = ctypes.CDLL(path)
            for name, (result, arguments) in functions.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
                self.functions[name] = function

    def call(self, name: str, *arguments: object) -> int:
        """Call one that gives a number or a pointer; 0 is none."""
        return int(self.functions[name](*arguments) or 0)

    def made(self, name: str, *arguments: object) -> int:
        """Call one that makes something, which is then to be released.

        Raises:
            _Refused: It makes nothing.
        """
        pointer = self.call(name, *arguments)
        if not pointer:
            raise _Refused(name)
        return pointer

    def text(self, word: bytes) -> int:
        return self.made("CFStringCreateWithCString", None, word, _UTF8)

    def read(self, text: int) -> str:
        """Read a string of theirs; empty for none, and for one that is too long."""
        room = ctypes.create_string_buffer(_MOST_NAME)
        if not text or not self.call("CFStringGetCString", text, room, _MOST_NAME, _UTF8):
            return ""
        return room.value.decode(errors="replace").strip()

    def release(self, *pointers: int) -> None:
        for pointer in pointers:
            self.functions["CFRelease"](pointer)


@dataclass(frozen=True, slots=True)
class _Subscription:
    """To all channels of the group; kept for as long as the process lives."""

    library: _Library
    subscription: int
    channels: int

    def sample(self) -> Mapping[str, float]:
        """Ask once: joules by channel, since the computer was started.

        Raises:
            _Refused: It does not answer.
        """
        library = self.library
        sample = library.made("IOReportCreateSamples", self.subscription, self.channels, None)
        key = library.text(_CHANNELS)
        sums: dict[str, float] = {}
        try:
            for name, joules in self._told(library.call("CFDictionaryGetValue", sample, key)):
                sums[name] = sums.get(name, 0.0) + joules  # a name may be there twice
        finally:
            library.release(key, sample)
        return sums

    def _told(self, channels: int) -> Iterator[tuple[str, float]]:
        library = self.library
        for number in range(library.call("CFArrayGetCount", channels) if channels else 0):
            channel = library.call("CFArrayGetValueAtIndex", channels, number)
            unit = library.read(library.call("IOReportChannelGetUnitLabel", channel))
            if unit in _UNITS:
                name = library.read(library.call("IOReportChannelGetChannelName", channel))
                counted = library.call("IOReportSimpleGetIntegerValue", channel, 0)
                yield name, counted * _UNITS[unit]


def _subscribe(library: _Library) -> _Subscription:
    group = library.text(_GROUP)
    try:
        found = library.made("IOReportCopyChannelsInGroup", group, None, 0, 0, 0)
    finally:
        library.release(group)
    try:
        size = library.call("CFDictionaryGetCount", found)
        channels = library.made("CFDictionaryCreateMutableCopy", None, size, found)
    finally:
        library.release(found)
    kept = ctypes.c_void_p()
    subscription = library.made(
        "IOReportCreateSubscription", None, channels, ctypes.byref(kept), 0, None
    )
    return _Subscription(library, subscription, channels)
