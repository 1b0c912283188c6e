"""What one token goes through, device by device: from a layout to the speed it gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod

from localllm.fit.cache import Setting, kv_cache_bytes
from localllm.fit.layout import Layout
from localllm.fit.placing import Share
from localllm.fit.shape import Shape
from localllm.fit.speed import Speed, Stage, Work, predict


def speed_of(layout: Layout, context: int) -> Speed | None:
    """Speed of one stream, from an empty cache to a full one."""
    return predict([*stages_of(layout, context)])


def stages_of(layout: Layout, context: int) -> Iterable[Stage]:
    """The devices that have layers, in the order in which a token passes them."""
    arrangement = layout.arrangement
    places = [
        (layout.host, arrangement.host),
        *zip(layout.devices, arrangement.devices, strict=True),
    ]
    for budget, share in places:
        work = _work(layout, share, context, on_host=budget is layout.host)
        if work.weight_bytes:
            yield Stage(work, budget.kind, budget.bandwidth, budget.half_precision_flops)


def _work(layout: Layout, share: Share, context: int, *, on_host: bool) -> Work:
    shape, arrangement = layout.shape, layout.arrangement
    used = _used_share(shape)
    own = [t for i in share.layers for t in shape.layers[i].tensors]
    own += shape.output_tensors if share.output else ()
    experts = [
        t
        for i, layer in enumerate(shape.layers)
        if (i in share.layers and arrangement.keeps_experts(i))
        or (on_host and not arrangement.keeps_experts(i))
        for t in layer.experts
    ]
    met = sum(prod(t.shape) for t in own) + used * sum(prod(t.shape) for t in experts)
    return Work(
        weight_bytes=int(
            sum(t.size_bytes for t in own) + used * sum(t.size_bytes for t in experts)
        ),
        kv_bytes=_kv_bytes(layout, share, context),
        layers=len(share.layers),
        experts=shape.experts is not None,
        recurrent=shape.recurrent,
        flops=2 * met,
    )


def _used_share(shape: Shape) -> float:
    return 1.0 if shape.experts is None else shape.experts.used / shape.experts.count


def _kv_bytes(layout: Layout, share: Share, context: int) -> int:
    setting: Setting = replace(layout.setting, context=context, parallel=1)
    return sum(kv_cache_bytes(layout.shape, layout.shape.layers[i], setting) for i in share.layers)
