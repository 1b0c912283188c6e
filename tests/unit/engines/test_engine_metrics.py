"""Gauges out of the Prometheus text of vLLM and SGLang."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.engines.engine_metrics import EngineMetrics, parse_metrics

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="qwen3-8b"} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="qwen3-8b"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="qwen3-8b",reason="capacity"} 2.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="qwen3-8b"} 0.4375
vllm:prompt_tokens_total{engine="0",model_name="qwen3-8b"} 1.2e+06
"""
SGLANG = """\
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="q",pp_rank="0",tp_rank="0"} 5.0
sglang:num_queue_reqs{engine_type="unified",model_name="q",pp_rank="0",tp_rank="0"} 0.0
sglang:token_usage{engine_type="unified",model_name="q",pp_rank="0",tp_rank="0"} 0.28
sglang:swa_token_usage{engine_type="unified",model_name="q",pp_rank="0",tp_rank="0"} 0.9
"""


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        (VLLM, EngineMetrics(waiting=2, running=3, kv_used_share=0.4375)),
        (SGLANG, EngineMetrics(waiting=0, running=5, kv_used_share=0.28)),
        ("vllm:gpu_cache_usage_perc 0.5\n", EngineMetrics(kv_used_share=0.5)),
        ("vllm:num_requests_waiting 2 1718000000000\n", EngineMetrics(waiting=2)),
        ("", EngineMetrics()),
        ("llamacpp:requests_processing 1\n", EngineMetrics()),
    ],
)
def test_the_gauges_of_each_engine_are_read_and_no_others(
    text: str, metrics: EngineMetrics
) -> None:
    assert parse_metrics(text) == metrics


def test_of_several_ranks_requests_add_up_and_the_fullest_cache_counts() -> None:
    text = "".join(
        f'vllm:num_requests_waiting{{engine="{n}"}} {n + 1}\n'
        f'vllm:kv_cache_usage_perc{{engine="{n}"}} 0.{n + 1}\n'
        for n in range(3)
    )

    assert parse_metrics(text) == EngineMetrics(waiting=6, kv_used_share=0.3)


def test_a_models_name_may_hold_anything() -> None:
    text = 'vllm:num_requests_waiting{model_name="a} 9 \\" b, c",engine="0"} 4\n'

    assert parse_metrics(text).waiting == 4


@pytest.mark.parametrize("value", ["NaN", "+Inf", "many", "", "1 2 3"])
def test_what_is_no_number_is_not_said(value: str) -> None:
    assert parse_metrics(f"vllm:num_requests_waiting {value}\n") == EngineMetrics()


@given(st.text(alphabet='vllm:num_requests_waiting{}",=\\ 0123456789.\n', max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    parse_metrics("vllm:num_requests_waiting" + text)
