"""Who answers to which name, of the instances that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from localllm.engines.base import Task
from localllm.errors import ModelNotFound
from localllm.events import InstanceId, ModelId
from localllm.events import ModelState as S
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.resolving import WHATEVER, shown
from localllm.supervisor.routing import Lanes, Routes, resolve, shift, without


@dataclass(slots=True)
class Names:
    """Mutable, and owned by the fleet alone.

    Args:
        hosted: The fleet's own table, which it changes.
    """

    hosted: Mapping[InstanceId, Hosted]
    _routes: Routes = field(default_factory=dict[str, Lanes])
    _chosen: ModelId | None = None

    def find(self, name: str | None, tokens: int = 0) -> Hosted | None:
        """Find who answers to a name: a model, an alias or an instance.

        Args:
            name: None or `localllm`: whatever is served.
            tokens: About as many the prompt has; a long one may be another instance's.
        """
        if name is None or (name == WHATEVER and name not in self._routes):
            current = self.current
            return None if current is None else self.find(current, tokens)
        instance = resolve(name, self._routes, tokens) or InstanceId(name)
        return self.hosted.get(instance)

    def require(self, name: str | None, tokens: int = 0) -> Hosted:
        """Find who answers to a name.

        Raises:
            ModelNotFound: Nobody does; it says who is served.
        """
        hosted = self.find(name, tokens)
        if hosted is not None:
            return hosted
        served = ", ".join(sorted({h.planned.stored.id for h in self.hosted.values()})) or "none"
        raise ModelNotFound(
            f"The model {shown(name)} is not served." if name else "The request names no model.",
            why=f"served now: {served}",
            fix=f"localllm up {name}" if name else 'add "model" to the request',
        )

    def has(self, name: str) -> bool:
        """Tell whether a name is of one that is served, as it is written."""
        return name in self._routes or name in self.hosted

    def other_than_current(self, task: Task) -> ModelId | None:
        """What requests mean that name no model and ask what the current one does not do.

        It is what does it and was asked for last; None where the current one does it, or nothing.
        """
        able = [h for h in self._staying() if h.planned.task is task]
        if not able or self.current in {h.planned.model for h in able}:
            return None
        return max(able, key=lambda h: (h.state is S.READY, h.asked)).planned.model

    @property
    def current(self) -> ModelId | None:
        """What requests mean that name no model: what a person asked for last, once it serves."""
        staying = self._staying()
        models = {hosted.planned.model for hosted in staying}
        if self._chosen in models:
            return self._chosen
        asked = [h for h in staying if h.terms.is_asked_for]
        if asked:
            return max(asked, key=lambda h: (h.state is S.READY, h.asked)).planned.model
        return next(iter(models)) if len(models) == 1 else None

    def _staying(self) -> Sequence[Hosted]:
        return [h for h in self.hosted.values() if not h.retired and not h.terms.is_guest]

    def choose(self, ready: Hosted) -> None:
        """Make it the current one, unless the one that is was asked for later."""
        current = [h.asked for h in self.hosted.values() if h.planned.model == self._chosen]
        if ready.terms.is_asked_for and ready.asked >= max(current, default=0):
            self._chosen = ready.planned.model

    def lead_to(self, hosted: Hosted) -> None:
        """Send new requests for its model's names to an instance."""
        for name in (hosted.planned.stored.id, *hosted.planned.stored.aliases):
            self._routes = shift(
                self._routes,
                name,
                to=hosted.id,
                lane=hosted.terms.lane,
                context=hosted.planned.plan.context,
            )

    def forget(self, instance: InstanceId) -> None:
        self._routes = without(self._routes, instance)
