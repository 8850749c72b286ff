"""The worker's metrics, read from the engine whenever they are asked for."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.engine import EngineStats

Metric = CounterMetricFamily | GaugeMetricFamily


class EngineMetrics(Collector):
    """What one engine has done and is doing."""

    def __init__(self, model: str, slots: int, stats: Callable[[], EngineStats]) -> None:
        self._model = model
        self._slots = slots
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats()
        counters = {
            "steps": ("Steps of the engine's loop.", stats.steps),
            "decoded_tokens": ("Tokens drawn.", stats.tokens_decoded),
            "prefilled_tokens": (
                "Tokens of prompts and resumed texts run through the model.",
                stats.tokens_prefilled,
            ),
            "shared_tokens": ("Tokens found in KV memory instead of computed.", stats.tokens_shared),
            "prefill_seconds": ("Time of the steps, the share of prompt tokens.", stats.prefill_seconds),
            "decode_seconds": ("Time of the steps, the share of drawn tokens.", stats.decode_seconds),
            "preemptions": ("Running texts put back inside the engine.", stats.evictions),
        }
        gauges = {
            "slots": ("Sequences that can run at once.", self._slots),
            "running_sequences": ("Sequences in the batch.", stats.running),
            "waiting_sequences": ("Sequences waiting inside the engine.", stats.waiting),
            "reserved_tokens": ("Tokens of KV memory reserved.", stats.tokens_reserved),
            "token_budget": ("Tokens of KV memory there are.", stats.token_budget),
        }
        for name, (text, value) in counters.items():
            counter = CounterMetricFamily(f"quire_engine_{name}", text, labels=["model"])
            counter.add_metric([self._model], value)
            yield counter
        for name, (text, value) in gauges.items():
            gauge = GaugeMetricFamily(f"quire_engine_{name}", text, labels=["model"])
            gauge.add_metric([self._model], value)
            yield gauge
