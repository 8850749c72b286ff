"""The threads of the kernels: many callers, more threads than cores, any patience, and never a wrong result."""

import threading
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from tests.unit.engine.drawing import random_logits, row
from tests.unit.engine.levels import LEVEL, backend, fresh_library
from worker.engine.backends.native import NativeBackend
from worker.engine.native.library import Level
from worker.engine.rows import Rows

HEADS, SIZE, ROWS = 2, 32, 25
WIDTH = HEADS * SIZE
PATIENT = 50_000  # pauses: far longer than a call takes


def random(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def layer(made: NativeBackend) -> Callable[[], Tensor]:
    """Return a function that runs every kernel once and returns what came out, the drawn tokens included."""
    norm = made.norm(random(WIDTH), random(WIDTH, seed=2), 1e-5)
    qkv = made.linear(random(3 * WIDTH, WIDTH, seed=3), random(3 * WIDTH, seed=4))
    expand = made.linear(random(4 * WIDTH, WIDTH, seed=5), None, activation="gelu_new")
    cache = made.cache(blocks=4, scales=[0.2], heads=HEADS, head_size=SIZE)
    rows = Rows([0] * ROWS, range(ROWS), [0] * ROWS, range(ROWS), array("i", [2, 0, 3, 1]), 4)
    logits = torch.stack([random_logits(300, seed) for seed in range(7)])
    draws = [row(seed=seed, top_k=20, repetition_penalty=1.2, frequency_penalty=0.1) for seed in range(7)]
    x = random(ROWS, WIDTH, seed=6)

    def run() -> Tensor:
        attended = cache.attend(0, qkv(norm(x)), cache.step(rows))
        tokens = [drawn.token for drawn in made.draw(logits, draws, frozenset())()]
        return torch.cat([expand(attended).flatten(), torch.tensor(tokens)])

    return run


@LEVEL
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("spins", [0, 100, PATIENT])
def test_calls_from_many_threads_at_once_are_all_exact(
    level: Level, spins: int, threads: int, precision: str
) -> None:
    library = fresh_library(level)
    expected = layer(backend(level, precision, threads=1))()
    # Each caller has a backend of its own, as each model has: results lie in the backend's memory.
    callers = [layer(NativeBackend(library, precision=precision, threads=threads, spins=spins)) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda caller: [caller().clone() for _ in range(6)], callers))

    assert all(torch.equal(one, expected) for results in found for one in results)


@LEVEL
def test_threads_may_be_added_while_others_compute(level: Level) -> None:
    library = fresh_library(level)
    run = layer(NativeBackend(library, precision="fp32", threads=1, spins=0))
    expected, enough = run().clone(), threading.Event()

    def grow() -> list[int]:
        counts = [library.quire_threads(threads, spins) for threads in range(1, 9) for spins in (0, PATIENT, 0)]
        enough.set()
        return counts

    with ThreadPoolExecutor(1) as pool:
        growing = pool.submit(grow)
        found = [run().clone()]
        while not enough.is_set() or len(found) < 20:
            found.append(run().clone())

    assert growing.result()[-1] == 8
    assert all(torch.equal(one, expected) for one in found)


@LEVEL
def test_there_are_never_fewer_threads_than_before(level: Level) -> None:
    library = fresh_library(level)

    assert [library.quire_threads(threads, 0) for threads in (1, 3, 2, 0)] == [1, 3, 3, 3]


def much(made: NativeBackend) -> Callable[[], Tensor]:
    """Return a function that attends and draws for so many rows that threads which were asleep come in time."""
    heads, size, rows, vocabulary = 4, 64, 300, 1000
    cache = made.cache(blocks=20, scales=[0.2], heads=heads, head_size=size)
    places = Rows([0] * rows, range(rows), [0] * rows, range(rows), array("i", range(20)), 20)
    qkv, logits = random(rows, 3 * heads * size), random(rows, vocabulary)
    draws = [row(seed=seed, repetition_penalty=1.2) for seed in range(rows)]

    def run() -> Tensor:
        attended = cache.attend(0, qkv, cache.step(places))
        return torch.cat(
            [attended.flatten(), torch.tensor([d.token for d in made.draw(logits, draws, frozenset())()])]
        )

    return run


def widen(made: NativeBackend, threads: int) -> list[Tensor]:
    """Lengthen the memory in which threads write on their way by that of `threads` more; return what is new."""
    scores, scratch = made._space._kept["scores"], made._scratch
    wide = [torch.cat([memory, torch.full((len(memory) * threads,), 7.0)]) for memory in (scores, scratch)]
    made._space._kept["scores"], made._scratch = wide[0], wide[1][: len(scratch)]
    return [wide[0][len(scores) :], wide[1][len(scratch) :]]


@LEVEL
def test_a_model_made_for_one_thread_keeps_to_its_memory_when_another_brings_more(level: Level) -> None:
    library = fresh_library(level)
    one = NativeBackend(library, precision="fp32", threads=1, spins=PATIENT)
    run = much(one)
    expected = run().clone()
    beyond = widen(one, 6)

    NativeBackend(library, precision="fp32", threads=6, spins=PATIENT)
    found = [run().clone() for _ in range(30)]

    assert all(torch.equal(again, expected) for again in found)
    assert all(bool((memory == 7.0).all()) for memory in beyond)


@LEVEL
def test_threads_that_sleep_are_woken_and_do_their_share(level: Level) -> None:
    made = NativeBackend(fresh_library(level), precision="fp32", threads=2, spins=0)
    run = much(made)
    run()
    scores = made._space._kept["scores"].chunk(2)[1]  # where the second thread writes

    def helped() -> bool:
        scores.fill_(7.0)
        run()
        return bool((scores != 7.0).any())

    assert any(helped() for _ in range(1000))
