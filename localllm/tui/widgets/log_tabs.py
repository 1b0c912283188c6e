"""Which logs there are: one an instance, and the daemon's events."""

from __future__ import annotations

from collections import Counter

from textual.content import Content
from textual.widgets import Tab, Tabs

from localllm.api.now_views import ModelNowView
from localllm.tui.log_source import EVENTS
from localllm.wording.plain import plain


class LogTabs(Tabs):
    """Tabs that come and go with the instances; the one that is open stays."""

    def __init__(self) -> None:
        super().__init__(Tab("events", id="log-events"), id="log-tabs")
        self._ids = {EVENTS: "log-events"}
        self._made = 0

    @property
    def log_name(self) -> str | None:
        """The log that is open: an instance, or EVENTS."""
        return next((log for log, tab in self._ids.items() if tab == self.active), None)

    def show_models(self, models: list[ModelNowView]) -> None:
        """Add those that are new, and remove those that are gone."""
        names = {m.view.instance: m.view.id for m in models}
        for gone in self._ids.keys() - names.keys() - {EVENTS, self.log_name}:
            self.remove_tab(self._ids.pop(gone))
        often = Counter(names.values())
        for instance, name in names.items():
            if instance not in self._ids:
                self._add(instance, instance if often[name] > 1 else name)

    def choose_first(self) -> None:
        """Open the first instance's, if there is one."""
        first = next((tab for log, tab in self._ids.items() if log != EVENTS), "log-events")
        self.active = first

    def _add(self, instance: str, label: str) -> None:
        self._made += 1  # an instance is no identifier
        self._ids[instance] = f"log-{self._made}"
        tab = Tab(Content(plain(label)), id=self._ids[instance])
        self.add_tab(tab, before="log-events")
