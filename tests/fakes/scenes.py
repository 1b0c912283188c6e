"""Scenes with the numbers of real machines, by what is going on there."""

from __future__ import annotations

from localllm.api.config_views import ConfigErrorView, ConfigStateView
from localllm.api.now_views import DeviceNowView
from localllm.api.pull_views import PulledFileView, PullErrorView
from localllm.api.status_views import (
    ErrorView,
    PlacedView,
    RequestsView,
    SavedView,
    SpeedView,
)
from localllm.api.views import ProbeView
from tests.fakes.scene import Scene
from tests.fakes.scene_parts import (
    HOME,
    NAMES,
    a_device,
    a_model,
    a_part,
    a_probe,
    a_pull,
    a_request,
    an_instance,
    gib,
    holding,
    in_phase,
    not_up,
    over,
)

_SAVED = SavedView(seconds=412.0, tokens=1_204_311, day="2026-11-29")
_AT_WORK = {"utilization": 0.97, "power": 512.0, "power_limit": 575.0, "temperature": 68}
_IDLE = {"utilization": 0.0, "power": 31.0, "power_limit": 575.0, "temperature": 38}
_FAILURE = (
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 5120.00 MiB on device 0: cudaMalloc failed",
    "alloc_tensor_range: failed to allocate CUDA0 buffer of size 5368709120",
    "llama_init_from_model: failed to initialize the context: failed to allocate buffer",
    "srv    load_model: failed to load model, 'qwen3-32b-Q6_K.gguf'",
)


def rtx5090() -> Scene:
    """One model that is ready, and an agent at work with it."""
    probe = a_probe("rtx5090")
    view = an_instance(
        current=True, kv_used=0.58, requests=RequestsView(active=1, waiting=0, total=214)
    )
    card = holding(
        a_device(probe, "cuda:0", **_AT_WORK), [a_part(view, 18.5, 7.5, 0.9)], others=gib(1.1)
    )
    return _scene(
        probe,
        "AMD Ryzen 9 9950X, Linux",
        [card, _processor(probe, used=21.0)],
        models=[a_model(view)],
        live=[a_request(1)],
        recent=[over(2), over(3, cached_tokens=0, first_token=6.3, prefix_broken=True), over(4)],
        saved=_SAVED,
        logs={view.id: [f"srv  update_slots: all slots are idle {n}" for n in range(40)]},
    )


def two_5090s() -> Scene:
    """A model that is split over both cards."""
    probe = a_probe("2xrtx5090")
    parts = [
        PlacedView(device=d, name=NAMES[d], layers=n, predicted=gib(28.2), measured=gib(28.3))
        for d, n in (("cuda:0", 41), ("cuda:1", 39))
    ]
    view = an_instance(
        "llama-3.3-70b",
        quant="Q5_K_M",
        device="cuda:0+cuda:1",
        total=56.4,
        layers=80,
        placement=parts,
        current=True,
        kv_used=0.21,
        speed=SpeedView(predicted_tps=24.0, measured_tps=23.1, prefill_tps=1_310.0),
    )
    cards = [
        holding(a_device(probe, d, **_IDLE), [a_part(view, 22.9, 5.0, 0.3)], others=gib(0.4))
        for d in ("cuda:0", "cuda:1")
    ]
    return _scene(
        probe,
        "AMD Threadripper 7970X, Linux",
        [*cards, _processor(probe, used=30.0)],
        models=[a_model(view)],
        recent=[over(2, model=view.id, instance=view.instance)],
        saved=_SAVED,
    )


def m3_ultra() -> Scene:
    """512 GB of unified memory, of which not all may be wired, and which is running short."""
    probe = a_probe("m3-ultra-512")
    big = an_instance(
        "deepseek-v4-flash",
        quant="Q4_K_M",
        context=131_072,
        device="metal:0",
        total=402.0,
        layers=61,
        current=True,
        pinned=True,
        kv_used=0.88,
        requests=RequestsView(active=1, waiting=1, total=96),
        speed=SpeedView(predicted_tps=21.0, measured_tps=19.4, prefill_tps=240.0),
    )
    small = an_instance(
        "qwen3-8b", quant="Q8_0", device="metal:0", total=13.6, layers=36, unload_in=840.0
    )
    shared = {"wired_limit": gib(464.0), "pressure": "warn"}
    held = [a_part(big, 366.0, 34.5, 1.5), a_part(small, 8.1, 4.5, 1.0)]
    others = gib(71.0)
    chip = holding(a_device(probe, "metal:0", **shared), held, others=others)
    whole = a_request(1, model=big.id, instance=big.instance, decode_tps=19.2, elapsed=41.0)
    waits = a_request(
        2,
        model=big.id,
        instance=big.instance,
        phase="waiting",
        elapsed=12.0,
        prompt_read=0,
        cached_tokens=None,
        generated_tokens=0,
        wait=None,
        first_token=None,
        decode_tps=None,
    )
    return _scene(
        probe,
        "Apple M3 Ultra, macOS 26.1",
        [
            chip,
            a_device(
                probe,
                "cpu",
                utilization=0.11,
                pressure="warn",
                others=others,
                memory_free=chip.memory_free,
            ),
        ],
        models=[a_model(big, first_token=3.1), a_model(small, generated=0, first_token=None)],
        live=[whole, waits],
        warnings=["memory: macOS says warn: 25.4 GiB of 512.0 GiB of memory is available"],
        saved=_SAVED,
    )


def no_gpu() -> Scene:
    """A laptop with a processor alone, which serves the small model."""
    probe = a_probe("cpu-16")
    view = an_instance(
        "smollm2-135m-instruct",
        quant="Q8_0",
        context=8_192,
        device="cpu",
        total=0.5,
        layers=30,
        current=True,
        speed=SpeedView(predicted_tps=None, measured_tps=61.0, prefill_tps=820.0),
    )
    cpu = holding(
        a_device(probe, "cpu", utilization=0.06), [a_part(view, 0.14, 0.18, 0.18)], others=gib(7.2)
    )
    return _scene(
        probe, "Intel Core i7-1260P, Linux", [cpu], models=[a_model(view, first_token=0.2)]
    )


def nothing_served() -> Scene:
    """The first start: a daemon, a card, and no model."""
    probe = a_probe("rtx5090")
    card = holding(a_device(probe, "cuda:0", **_IDLE), [], others=gib(1.1))
    return _scene(probe, "AMD Ryzen 9 9950X, Linux", [card, _processor(probe, used=9.0)])


def downloading() -> Scene:
    """One comes, one waits, one was paused, one has failed."""
    scene = nothing_served()
    weights = PulledFileView(
        path="gpt-oss-20b-mxfp4.gguf", size=gib(11.3), here=gib(2.0), state="waiting"
    )
    refused = PullErrorView(
        message="meta-llama/Llama-3.3-70B is not to be had.\n  why: its owner asks who you are"
        "\n  fix: accept its licence on its page, then set HF_TOKEN",
        code="access_refused",
    )
    still = {"speed": None, "left": None}
    scene.pulls = [
        a_pull(1),
        a_pull(
            2, "gpt-oss-20b", state="paused", note="paused by the user", files=[weights], **still
        ),
        a_pull(
            3, "qwen3-8b", state="queued", here=0, note="another download is before it", **still
        ),
        a_pull(4, "llama-3.3-70b", state="failed", here=0, error=refused, **still),
        a_pull(5, "qwen3-32b", state="done", here=gib(17.3), **still),
    ]
    coming = an_instance("qwen3-coder-30b-a3b", context=65_536, total=23.9, layers=48)
    scene.models = [
        a_model(
            not_up(coming, "downloading", "its files come: 6.1 of 17.3 GiB"),
            generated=0,
            read=0,
            first_token=None,
        )
    ]
    return scene


def failed() -> Scene:
    """An engine that found no memory, and gave up."""
    scene = nothing_served()
    error = ErrorView(
        reason="it ended with code 1: the device's memory ran out while it loaded",
        fix="localllm up qwen3-32b --context 16384",
        log=list(_FAILURE),
    )
    view = an_instance(quant="Q6_K", total=30.8)
    scene.models = [
        a_model(
            not_up(view, "failed", "it ended with code 1, 5 times in a row", error),
            generated=0,
            read=0,
            first_token=None,
        )
    ]
    scene.logs = {view.id: list(_FAILURE)}
    return scene


def throttled() -> Scene:
    """As rtx5090, and hot."""
    scene = rtx5090()
    why = "90 °C: slowed down to cool"
    scene.change_device("cuda:0", throttled=why, temperature=90, power=391.0)
    scene.warnings = [f"cuda:0: {why}"]
    return scene


def wrong_settings() -> Scene:
    """As rtx5090; what stands in config.toml by now is wrong, and something of it waits."""
    scene = rtx5090()
    file = f"{HOME}/.config/localllm/config.toml"
    scene.config = ConfigStateView(
        file=file,
        error=ConfigErrorView(
            message=f"{file}:7:1 is wrong.",
            why="there is no setting supervision.max_crash",
            fix=f"write max_crashes instead of max_crash in {file}:7:1; localllm config check shows "
            "all that is wrong",
        ),
        waiting=[
            "port is 11711 until the daemon is started again, then 11800: localllm down, then "
            "localllm up"
        ],
    )
    return scene


def busy() -> Scene:
    """As rtx5090, with many requests in every phase, of which some wait for a full cache."""
    scene = rtx5090()
    phases = ("generating", "generating", "prefill", *["waiting"] * 9)
    clients = ("claude-cli/2.1.330", "codex/0.61", "opencode/1.2", "curl/8.9")
    scene.live = [
        in_phase(number, phase, clients[number % len(clients)])
        for number, phase in enumerate(phases, 1)
    ]
    scene.recent = [over(100 + number) for number in range(50)]
    scene.recent[3] = over(103, phase="failed", status=502, error="engine_gone")
    scene.recent[5] = over(105, phase="cancelled", status=499)
    scene.change(
        "qwen3-32b",
        kv_used=0.91,
        held="its cache is 91 % full",
        requests=RequestsView(active=3, waiting=9, total=1_044),
    )
    return scene


def _processor(probe: ProbeView, used: float) -> DeviceNowView:
    return holding(a_device(probe, "cpu", utilization=0.04), [], others=gib(used))


def _scene(probe: ProbeView, host: str, devices: list[DeviceNowView], **more) -> Scene:
    return Scene(hardware=probe, host=host, devices=devices, **more)


ALL = {
    scene.__name__: scene
    for scene in (
        rtx5090,
        two_5090s,
        m3_ultra,
        no_gpu,
        nothing_served,
        downloading,
        failed,
        throttled,
        wrong_settings,
        busy,
    )
}
