"""Tokens a second of whole requests, prefill included: ours beside every peer, in alternating rounds."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.engine import work
from bench.engine.checkpoint import converted, made
from bench.engine.driver import Peer, library, median_rate, ours, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.engine.work import Job, Ran
from bench.report import Figure

OURS = "Quire"
CTRANSLATE2 = "CTranslate2"
ONE_AT_A_TIME = "generate, one at a time"
STATIC = "generate, static batch"
CONTINUOUS = "generate_batch"

Key = tuple[str, int]  # who, and how many requests at once


@dataclass(frozen=True)
class Turn:
    """Who runs `count` requests, `batch` at once."""

    label: str
    peer: Peer
    count: int
    batch: int

    @property
    def key(self) -> Key:
        return self.label, self.batch


def measure(options: Options) -> Measured:
    """Run everyone at every size, round by round."""
    folder = made(options)
    converted(folder)
    with ExitStack() as stack:
        turns = list(_turns(options, folder, stack))
        notes = _warm(options, turns)
        rates = {key: median_rate(runs) for key, runs in _rounds(options, turns).items()}
    return Measured([*_of_peers(rates), *_of_ours(options, rates)], notes)


def _turns(options: Options, folder: Path, stack: ExitStack) -> Iterator[Turn]:
    """Start all peers; yield the turns of a round, in their order."""
    generate = stack.enter_context(library(options, "generate", "fp32", folder))
    peers = {STATIC: generate, CONTINUOUS: stack.enter_context(library(options, "continuous", "fp32", folder))}
    for precision in options.precisions:
        other = library(options, "ctranslate2", precision, folder)
        peers[f"{CTRANSLATE2} {precision}"] = stack.enter_context(other)
        peers[f"{OURS} {precision}"] = stack.enter_context(ours(options, folder, precision))
    yield Turn(ONE_AT_A_TIME, generate, options.alone, 1)
    for size in options.batches:
        # A static batch of one would be a run one at a time.
        yield from (Turn(label, peer, size, size) for label, peer in peers.items() if size > 1 or label != STATIC)


def _warm(options: Options, turns: Sequence[Turn]) -> dict[str, str]:
    """Have everyone's turn once with short texts; returns the settings that peers have chosen by it."""
    chosen: dict[str, list[str]] = {}
    for turn in turns:
        settings = turn.peer.warm(_jobs(options, turn, options.warm_tokens, "warm"), batch=turn.batch)
        if settings:
            chosen.setdefault(turn.label, []).append(f"{settings} at batch {turn.batch}")
    return {label: ", ".join(settings) for label, settings in chosen.items()}


def _rounds(options: Options, turns: Sequence[Turn]) -> dict[Key, list[Ran]]:
    runs: dict[Key, list[Ran]] = {turn.key: [] for turn in turns}
    for number in range(1, options.rounds + 1):
        for turn in turns:
            ran = turn.peer.run(_jobs(options, turn, options.new_tokens, f"round {number}"), batch=turn.batch)
            runs[turn.key].append(ran)
            say(f"round {number}, batch {turn.batch:3}: {turn.label:24} {ran.rate:8.1f} tokens/s")
    return runs


def _jobs(options: Options, turn: Turn, new_tokens: int, seed: str) -> list[Job]:
    return work.equal(
        turn.count,
        prompt=options.prompt,
        new_tokens=new_tokens,
        vocabulary=options.vocabulary,
        seed=f"{seed} {turn.batch}",
    )


def _of_peers(rates: Mapping[Key, float]) -> list[Figure]:
    return [
        Figure(peer_figure(label, size), rate, "tokens/s")
        for (label, size), rate in rates.items()
        if not label.startswith(OURS)
    ]


def _of_ours(options: Options, rates: Mapping[Key, float]) -> list[Figure]:
    figures: list[Figure] = []
    for precision in options.precisions:
        for size in options.batches:
            own = rates[f"{OURS} {precision}", size]
            beside = [(f"{CTRANSLATE2} {precision}", size), (STATIC, size), (CONTINUOUS, size), (ONE_AT_A_TIME, 1)]
            figures += [
                Figure(own_figure(precision, size), own, "tokens/s", key[0], own / rates[key])
                for key in beside
                if key in rates
            ]
    return figures


def own_figure(precision: str, size: int) -> str:
    return f"cpu_{precision}_b{size}_total"


def peer_figure(label: str, size: int) -> str:
    """Return the name of a peer's own figure."""
    name = label.lower().replace(", ", "_").replace(" ", "_")
    return f"{name}_b{size}_total"
