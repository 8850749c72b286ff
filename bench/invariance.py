"""`python -m bench.invariance`: whether a text is the same whatever the engine does with it.

Seeded jobs run alone, their prompts whole. Then they run again in changing company: prompts in small chunks,
beginnings shared, jobs evicted at random and others taken up again from half of their tokens. Token ids and
log-probabilities must be the same in every bit. With --mutation a safeguard is taken away, and differences must
appear: a test that cannot fail says nothing.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if {"--mutation=strict", "strict"} & {*sys.argv}:  # before torch makes its first product
    os.environ["MKL_CBWR"] = "AUTO"

import torch

from bench import provenance, section
from bench.engine import options as sizes
from bench.engine.book import table
from bench.engine.checkpoint import made
from bench.report import RESULTS, Figure, merge, read
from worker.engine import Delta, Engine, Request, Sampling, loading, running_batch
from worker.engine.backends import plain
from worker.engine.loading import LoadedModel, load_model

NAME = "invariance"
WRITER = "python -m bench.invariance"
SHOWN = {
    "invariance_fp32_differing": "fp32: jobs whose tokens or log-probabilities differ in any bit (asked: 0)",
    "invariance_int8_differing": "int8: the same",
    "invariance_int8_evictions": "evictions meanwhile, of each precision",
    "invariance_int8_resumed": "taken up again from half of their tokens",
    "invariance_int8_shared": "of prompts shared with others",
    "mutation_strict_differing": "fp32 without MKL's strict mode and least rows: jobs that differ (must not be 0)",
    "mutation_length_differing": "fp32 with attention over whole blocks: the same",
    "mutation_scale_differing": "int8 with one scale for all rows of a step: the same",
}
SLOTS, CHUNK, EVICTED, RESUMED = 48, 48, 0.02, 0.3
NEW_TOKENS = 8
EXPLAINED = (
    "Seeded jobs on a random model of the 124M shape, contexts to 1,024, sampled in many ways: each alone, its "
    "prompt at once, and all in changing company, with prompts in chunks, beginnings shared, evictions, and texts "
    "taken up again. With a safeguard taken away differences must appear, or the comparison would show nothing."
)

Result = tuple[tuple[int, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Study:
    jobs: int
    evictions: int
    shared: int
    resumed: int
    differing: int


def requests(count: int, vocabulary: int, context: int) -> list[Request]:
    """Return jobs with contexts up to the longest, most of them short; every third begins like an earlier one."""
    source = random.Random(0)
    made: list[Request] = []
    for number in range(count):
        longest = source.choices((64, 256, context - NEW_TOKENS), weights=(60, 25, 15))[0]
        prompt = tuple(source.randrange(vocabulary) for _ in range(source.randint(1, longest)))
        if made and number % 3 == 0:
            beginning = source.choice(made).prompt
            prompt = (*beginning, *prompt)[: context - NEW_TOKENS]
        sampling = Sampling(
            seed=number,
            temperature=source.choice((0.0, 0.7, 1.0, 1.3)),
            top_k=source.choice((0, 1, 40, 2000)),
            top_p=source.choice((1.0, 0.95, 0.5)),
            min_p=source.choice((0.0, 0.05)),
            repetition_penalty=source.choice((1.0, 1.2)),
            presence_penalty=source.choice((0.0, 0.5)),
            frequency_penalty=source.choice((0.0, 0.3)),
            min_tokens=NEW_TOKENS,
            max_tokens=NEW_TOKENS,
            logprobs=1,
        )
        made.append(Request(prompt, sampling))
    return made


def alone(loaded: LoadedModel, jobs: Sequence[Request]) -> list[Result]:
    """Run one job after the other, each prompt at once and in an engine that holds nothing else."""
    running_batch.PROMPT_TOKENS = loaded.model.shape.context
    engine = Engine(loaded, slots=1)
    results = []
    for number, job in enumerate(jobs):
        deltas: list[Delta] = []
        future = engine.submit(replace(job, scope=str(number)), deltas.append)  # shares no beginning
        while not future.done():
            engine.step()
        future.result()
        results.append(_result(deltas))
    engine.stop()
    return results


def in_company(loaded: LoadedModel, jobs: Sequence[Request], known: Sequence[Result]) -> Study:
    """Run all jobs together, in an order of their own, with evictions and resumed texts; count what differs."""
    running_batch.PROMPT_TOKENS = CHUNK
    source = random.Random(1)
    engine = Engine(loaded, slots=SLOTS)
    waiting = list(range(len(jobs)))
    source.shuffle(waiting)
    running: dict[int, tuple[Any, list[Delta], int]] = {}
    differing = resumed = 0
    while waiting or running:
        while waiting and len(running) < SLOTS + 8 and source.random() < 0.5:
            number = waiting.pop()
            taken = NEW_TOKENS // 2 if source.random() < RESUMED else 0
            resumed += bool(taken)
            deltas: list[Delta] = []
            job = replace(jobs[number], generated=known[number][0][:taken])
            running[number] = (engine.submit(job, deltas.append), deltas, taken)
        for future, *_ in running.values():
            if source.random() < EVICTED:
                engine.evict(future)
        engine.step()
        for number in [number for number, (future, *_) in running.items() if future.done()]:
            future, deltas, taken = running.pop(number)
            future.result()
            ids, values = known[number]
            differing += _result(deltas) != (ids[taken:], values[taken:])
    stats = engine.stats()
    engine.stop()
    return Study(len(jobs), stats.evictions, stats.tokens_shared, resumed, differing)


def _result(deltas: Sequence[Delta]) -> Result:
    tokens = tuple(token for delta in deltas for token in delta.tokens)
    return tokens, tuple(logprob.logprob for delta in deltas for logprob in delta.logprobs)


def _without_strict_mode() -> None:
    """Products of whatever number of rows comes; MKL's strict mode is off already."""
    plain._LEAST_ROWS = 1  # noqa: SLF001 - taking the safeguard away


def _without_true_length() -> None:
    """Attention reads whole blocks, and so what stands behind a row's own position."""
    attend = plain.PlainCache.attend

    def padded(self: plain.PlainCache, layer: int, qkv: torch.Tensor, step: Any) -> torch.Tensor:
        places = step.positions
        longer = replace(step, positions=(places // 16 + 1) * 16 - 1)
        attend(self, layer, qkv, step)  # writes every row where it belongs
        return _read(self, layer, qkv, longer)

    plain.PlainCache.attend = padded  # type: ignore[method-assign]


def _read(cache: plain.PlainCache, layer: int, qkv: torch.Tensor, step: Any) -> torch.Tensor:
    """Attend without writing, as PlainCache does."""
    queries = qkv.view(-1, 3, *cache._size)[:, 0]  # noqa: SLF001 - taking the safeguard away
    keys, values = cache._layers[layer]  # noqa: SLF001
    out = torch.empty(qkv.shape[0], *cache._size)  # noqa: SLF001
    for row, (blocks, position) in enumerate(zip(step.tables, step.positions.tolist(), strict=True)):
        k, v = (held[blocks].flatten(0, 1)[: position + 1].transpose(0, 1) for held in (keys, values))
        scores = (k @ queries[row, :, :, None])[..., 0] * cache._scales[layer]  # noqa: SLF001
        out[row] = (torch.softmax(scores, dim=-1)[:, None] @ v)[:, 0]
    return out.flatten(1)


def _without_row_scales() -> None:
    """One activation scale for all rows of a step, as common quantised products have it."""

    def product(self: Any, x: torch.Tensor) -> torch.Tensor:
        scale = (x.abs().max() if x.numel() else x.new_ones(())) / 127  # a step may have no rows of a kind
        codes = (x / scale).round_()
        weight = torch.cat([group.t() for group in self._groups], dim=1).float()
        scaled: torch.Tensor = codes @ weight.t() * scale * self._scales
        return scaled

    plain._Int8.__call__ = product  # type: ignore[method-assign]  # noqa: SLF001


MUTATIONS: dict[str, tuple[str, Callable[[], None]]] = {
    "strict": ("fp32", _without_strict_mode),
    "length": ("fp32", _without_true_length),
    "scale": ("int8", _without_row_scales),
}


def study(source: Path, precision: str, count: int) -> Study:
    loaded = load_model(str(source), kv_blocks=SLOTS * 64, device="cpu", precision=precision)
    jobs = requests(count, loaded.model.shape.vocabulary, loaded.model.shape.context)
    begun = time.monotonic()
    known = alone(loaded, jobs)
    print(f"{precision}: {count} jobs alone in {time.monotonic() - begun:.0f} s", flush=True)
    found = in_company(loaded, jobs, known)
    print(f"{precision}: {found} after {time.monotonic() - begun:.0f} s", flush=True)
    return found


def main() -> int:
    """Run the study; return the exit status: 0 if nothing differs, or if something does with a mutation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--precision", choices=("fp32", "int8"), action="append")
    parser.add_argument("--mutation", choices=tuple(MUTATIONS))
    options = parser.parse_args()
    source = made(sizes.Options())
    if options.mutation:
        precision, mutate = MUTATIONS[options.mutation]
        setattr(loading, "kernels", lambda: None)  # noqa: B010 - the mutations are of the backend in plain torch
        mutate()
        found = study(source, precision, options.jobs)
        _keep([_figure(f"mutation_{options.mutation}", found)])
        return int(not found.differing)
    figures, differing = [], 0
    for precision in options.precision or ("fp32", "int8"):
        found = study(source, precision, options.jobs)
        differing += found.differing
        figures += [
            _figure(f"invariance_{precision}", found),
            Figure(f"invariance_{precision}_evictions", found.evictions, "evictions"),
            Figure(f"invariance_{precision}_resumed", found.resumed, "jobs"),
            Figure(f"invariance_{precision}_shared", found.shared, "tokens"),
        ]
    _keep(figures)
    return int(differing > 0)


def _keep(figures: Sequence[Figure]) -> None:
    """Keep the figures, and write the section of docs/benchmarks.md from all that were kept."""
    merge(NAME, figures)
    made_now = provenance.of_now("bench.invariance", sys.argv[1:], ["torch"])
    provenance.keep(NAME, figures[0].name, made_now, RESULTS)
    kept = {figure.name: figure for figure in read(NAME)}
    rows = [(text, f"{kept[name].value:,.0f} {kept[name].unit}") for name, text in SHOWN.items() if name in kept]
    measured = provenance.read(NAME, RESULTS)
    lines = ["## Whether a text depends on its company", "", EXPLAINED, ""]
    lines += [*provenance.places(measured), *table(["", "figure"], rows)]
    for one in measured.values():
        lines += provenance.how(one)
    section.put(WRITER, lines)


def _figure(name: str, found: Study) -> Figure:
    return Figure(f"{name}_differing", found.differing, f"of {found.jobs} jobs")


if __name__ == "__main__":
    sys.exit(main())
