"""Attention over the true length, from blocks that lie anywhere."""

import random
from array import array
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.engine.levels import EACH_BACKEND, LEVEL, RUNNABLE, Make, backend, fused, plain
from worker.engine.backends.backend import Backend
from worker.engine.blocks import BLOCK_TOKENS, blocks_for
from worker.engine.native.library import Level
from worker.engine.rows import Rows

HEADS, SIZE, SCALE = 3, 80, 0.3
LENGTHS = (1, 15, 16, 17, 40, 83, 33)


def inputs(sequence: int, length: int, heads: int = HEADS, size: int = SIZE) -> Tensor:
    """Queries, keys and values of a sequence: (length, 3 x heads x size)."""
    return torch.randn(length, 3 * heads * size, generator=torch.Generator().manual_seed(100 + sequence))


def exact(qkv: Tensor, cached: torch.dtype, heads: int = HEADS, size: int = SIZE) -> Tensor:
    """Causal attention in float64 over keys and values as the cache keeps them."""
    queries, keys, values = qkv.view(-1, 3, heads, size).permute(1, 2, 0, 3)
    keys, values = keys.to(cached), values.to(cached)
    scores = queries.double() @ keys.double().transpose(1, 2) * SCALE
    scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
    return (scores.softmax(-1) @ values.double()).transpose(0, 1).flatten(1)


@dataclass
class Bench:
    """Sequences in a cache whose blocks are dealt out at random, and which held other things before."""

    made: Backend
    lengths: tuple[int, ...] = LENGTHS
    heads: int = HEADS
    size: int = SIZE
    seed: int = 1
    outputs: dict[int, list[Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.longest = blocks_for(max(self.lengths)) + 1
        count = len(self.lengths) * self.longest
        blocks = random.Random(self.seed).sample(range(count), count)
        self.tables = array("i", blocks)
        scales = [1.0, SCALE]
        self.cache: Any = self.made.cache(blocks=count, scales=scales, heads=self.heads, head_size=self.size)
        for keys, values in self.cache._layers:
            keys.fill_(torch.nan)
            values.fill_(torch.nan)
        self.qkv = [inputs(i, length, self.heads, self.size) for i, length in enumerate(self.lengths)]
        self.done = [0] * len(self.lengths)
        self.outputs = {i: [] for i in range(len(self.lengths))}

    def step(self, *chunks: tuple[int, int]) -> None:
        """Run so many next tokens of each sequence."""
        places = [(sequence, self.done[sequence] + i) for sequence, count in chunks for i in range(count)]
        slots, positions = zip(*places, strict=True)
        rows = Rows([0] * len(places), positions, slots, range(len(places)), self.tables, self.longest)
        qkv = torch.stack([self.qkv[sequence][at] for sequence, at in places])
        out = self.cache.attend(1, qkv, self.cache.step(rows)).clone()
        for (sequence, count), part in zip(chunks, out.split([count for _, count in chunks]), strict=True):
            self.outputs[sequence].append(part)
            self.done[sequence] += count

    def results(self) -> list[Tensor]:
        assert self.done == list(self.lengths)
        return [torch.cat(self.outputs[i]) for i in range(len(self.lengths))]


def whole(bench: Bench) -> list[Tensor]:
    """Run every sequence alone and at once."""
    for sequence, length in enumerate(bench.lengths):
        bench.step((sequence, length))
    return bench.results()


def one_by_one(bench: Bench) -> list[Tensor]:
    """Run one token of one sequence at a time."""
    for sequence, length in enumerate(bench.lengths):
        for _ in range(length):
            bench.step((sequence, 1))
    return bench.results()


def mixed(bench: Bench, seed: int) -> list[Tensor]:
    """Run chunks of any size of any sequences together, in any order."""
    dice = random.Random(seed)
    while bench.done != list(bench.lengths):
        left = [(i, length - bench.done[i]) for i, length in enumerate(bench.lengths) if length > bench.done[i]]
        chosen = dice.sample(left, dice.randint(1, len(left)))
        bench.step(*((sequence, dice.choice([1, 1, dice.randint(1, most)])) for sequence, most in chosen))
    return bench.results()


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@EACH_BACKEND
@pytest.mark.parametrize(("heads", "size"), [(1, 16), (2, 32), (3, 48), (2, 64), (3, 80), (2, 144)])
def test_every_row_attends_to_all_before_it_and_to_nothing_else(
    made: Make, precision: str, heads: int, size: int
) -> None:
    bench = Bench(made(precision), heads=heads, size=size)
    cached = bench.cache._layers[0][0].dtype

    results = whole(bench)

    for sequence, found in enumerate(results):
        expected = exact(bench.qkv[sequence], cached, heads, size)
        assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@LEVEL
def test_chunks_order_and_company_change_no_bit(level: Level, precision: str) -> None:
    made = backend(level, precision)
    expected = whole(Bench(made))

    assert equal(one_by_one(Bench(made, seed=2)), expected)
    for seed in range(4):
        assert equal(mixed(Bench(made, seed=seed + 3), seed), expected)


def test_plain_torch_changes_no_bit_either() -> None:
    made = plain("fp32")
    expected = whole(Bench(made))

    assert equal(one_by_one(Bench(made, seed=2)), expected)
    assert equal(mixed(Bench(made, seed=3), 3), expected)


@LEVEL
@pytest.mark.parametrize("threads", [2, 3])
def test_the_bits_do_not_depend_on_the_number_of_threads(level: Level, threads: int) -> None:
    assert equal(mixed(Bench(backend(level, threads=threads)), 1), whole(Bench(backend(level, threads=1))))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.skipif(len([level for level in RUNNABLE if fused(level)]) < 2, reason="there is one such processor")
def test_the_bits_are_those_of_every_processor_that_fuses(precision: str) -> None:
    first, *others = (whole(Bench(backend(level, precision))) for level in RUNNABLE if fused(level))

    assert all(equal(first, other) for other in others)


@LEVEL
def test_two_sequences_may_share_the_blocks_of_their_beginning(level: Level) -> None:
    bench, alone = Bench(backend(level), lengths=(40, 40)), Bench(backend(level), lengths=(40, 40))
    for one in (bench, alone):
        one.qkv[1][:32] = one.qkv[0][:32]
    alone.step((1, 40))

    bench.tables[bench.longest : bench.longest + 2] = bench.tables[:2]
    bench.done[1] = 32
    bench.step((0, 40), (1, 8))  # the blocks are read in the step that fills them

    assert torch.equal(bench.outputs[1][0], alone.outputs[1][0][32:])


@LEVEL
def test_scores_of_any_size_leave_a_distribution(level: Level) -> None:
    bench = Bench(backend(level), lengths=(50,))
    bench.qkv[0][:, : 2 * HEADS * SIZE] *= 100

    [found] = whole(bench)

    assert torch.allclose(found.double(), exact(bench.qkv[0], torch.float32), rtol=1e-3, atol=1e-3)


@EACH_BACKEND
def test_a_token_that_is_no_number_spoils_what_follows_it_and_no_other_sequence(made: Make) -> None:
    bench = Bench(made("fp32"), lengths=(40, 40))
    bench.qkv[0][20, 2 * HEADS * SIZE - 1] = torch.nan  # a number of the last head's key

    bench.step((0, 40), (1, 40))

    broken, sound = bench.results()
    assert torch.isnan(broken[20:, -SIZE:]).all()
    assert torch.isfinite(broken[:20]).all()
    assert torch.isfinite(broken[:, :-SIZE]).all()
    assert torch.isfinite(sound).all()


def test_blocks_hold_as_many_tokens_as_the_kernels_think() -> None:
    assert BLOCK_TOKENS == 16
