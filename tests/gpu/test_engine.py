import threading
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

pytest.importorskip(
    "triton", reason="Triton is not installed; it comes with torch for CUDA, and with .[dev] on Linux"
)

from bench.gpu.correctness import tokens_of
from bench.gpu.models import VERSE, random_checkpoint, random_tokenizer, shape_of
from worker.engine import Engine, Request, Sampling
from worker.engine.backends.backend import Backend
from worker.engine.backends.cuda import CudaBackend
from worker.engine.backends.gpu import cache as gpu_cache
from worker.engine.backends.plain import PlainBackend
from worker.engine.loading import LoadedModel, build
from worker.engine.numerics import numerics_of
from worker.engine.rows import Rows

pytestmark = pytest.mark.gpu

SHAPE = shape_of(layers=3, width=320, heads=5, vocabulary=2000, context=256)
VERSE_FOLDER = Path(__file__).parents[2] / VERSE
TABLE = 16
KINDS: tuple[dict[str, object], ...] = (
    {"top_k": 50},
    {"temperature": 0},
    {"top_p": 0.9, "temperature": 0.8, "logprobs": 2},
    {"repetition_penalty": 1.3, "frequency_penalty": 0.2},
    {"min_p": 0.05, "presence_penalty": 0.5, "logit_bias": {7: 2.0}},
)


def model(backend: Backend) -> LoadedModel:
    """Return the same random model on any backend, with weights large enough for texts of its own."""
    checkpoint = random_checkpoint(SHAPE, torch.device("cpu"))
    for tensor in {tensor.data_ptr(): tensor for tensor in checkpoint.tensors.values()}.values():
        if tensor.dim() == 2:
            tensor.mul_(4)
    return LoadedModel(build(checkpoint, backend), random_tokenizer(SHAPE.vocabulary), None)


def on(device: torch.device, dtype: torch.dtype = torch.float32, *, lookahead: bool = True) -> LoadedModel:
    backend = CudaBackend(device, dtype=dtype)
    backend.lookahead = lookahead
    return model(backend)


def requests(count: int, *, tokens: int = 60) -> list[Request]:
    return [
        Request(
            tuple(300 + (seed * 37 + 11 * i) % 1500 for i in range(1 + seed * 5 % 50)),
            Sampling(**{"seed": seed, "max_tokens": 5 + seed * 7 % tokens, **KINDS[seed % len(KINDS)]}),
        )
        for seed in range(count)
    ]


def share_equal(found: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]) -> float:
    return sum(list(a) == list(b) for a, b in zip(found, expected, strict=True)) / len(expected)


def rows(count: int, start: int) -> Rows:
    """Return `count` tokens of three texts, from position `start` on."""
    slots = [i % 3 for i in range(count)]
    positions = [start + i // 3 for i in range(count)]
    tables = array("i", [slot + 3 * block for slot in range(3) for block in range(TABLE)])
    order = sorted(range(count), key=lambda i: (slots[i], positions[i]))
    tokens = [(17 * slots[i] + 5 * positions[i]) % 2000 for i in order]
    return Rows(tokens, [positions[i] for i in order], [slots[i] for i in order], range(count), tables, TABLE)


STEPS = (rows(30, 0), rows(3, 10), rows(3, 11), rows(21, 12), rows(3, 19), rows(48, 20), rows(3, 36))


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)], ids=str)
def test_recorded_steps_compute_what_the_cpu_does(dtype: torch.dtype, most: float, device: torch.device) -> None:
    ours, reference = on(device, dtype).model, model(PlainBackend(precision="fp32")).model
    cache, other = ours.new_cache(3 * TABLE), reference.new_cache(3 * TABLE)

    for step in (*STEPS, *STEPS):  # sizes are recorded in the first round, and replayed in both
        found, expected = ours.forward(step, cache).cpu(), reference.forward(step, other)
        assert bool(torch.isfinite(found).all())
        assert (found - expected).norm() < most * expected.norm()


def test_recorded_steps_compute_what_they_do_unrecorded(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = on(device, torch.bfloat16).model
    cache, bare = (recorded.new_cache(3 * TABLE) for _ in range(2))

    found = [recorded.forward(step, cache).clone() for step in STEPS]
    monkeypatch.setattr(gpu_cache, "size_for", lambda _: None)
    expected = [recorded.forward(step, bare).clone() for step in STEPS]

    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_memory_that_nobody_wrote_is_not_read(device: torch.device) -> None:
    ours = on(device, torch.bfloat16).model
    cache = ours.new_cache(3 * TABLE)
    expected = [ours.forward(step, cache).clone() for step in STEPS]

    poisoned = ours.new_cache(3 * TABLE)
    for layer in poisoned.layers:
        for tensor in layer:
            tensor.fill_(torch.nan)

    for step, logits in zip(STEPS, expected, strict=True):
        assert torch.equal(ours.forward(step, poisoned), logits)


def test_logits_outlive_the_next_steps(device: torch.device) -> None:
    ours = on(device).model
    cache = ours.new_cache(3 * TABLE)
    logits = ours.forward(STEPS[0], cache)
    kept = logits.clone()

    for step in STEPS[1:]:
        ours.forward(step, cache)

    assert torch.equal(logits, kept)


def test_texts_in_a_crowd_are_those_of_the_cpu(device: torch.device) -> None:
    asked = requests(60)

    found = tokens_of(Engine(on(device), slots=24), asked)

    expected = tokens_of(Engine(model(PlainBackend(precision="fp32")), slots=24), asked)
    # fp32 on both: only a draw that falls on an edge may part them.
    assert share_equal(found, expected) >= 0.95


def test_running_ahead_changes_no_text(device: torch.device) -> None:
    asked = requests(40)

    ahead, waiting = (
        tokens_of(Engine(on(device, lookahead=lookahead), slots=40), asked) for lookahead in (True, False)
    )

    assert share_equal(ahead, waiting) >= 0.95


def test_texts_that_are_cancelled_and_evicted_leave_others_alone(device: torch.device) -> None:
    asked = requests(30)
    expected = tokens_of(Engine(on(device), slots=30), asked)
    engine = Engine(on(device), slots=8)
    texts: list[list[int]] = [[] for _ in asked]

    futures = [
        engine.submit(request, lambda delta, text=text: text.extend(delta.tokens))
        for request, text in zip(asked, texts, strict=True)
    ]
    for step in range(2000):
        if step % 5 == 0:
            engine.evict(futures[step // 5 % 30])
        if step == 4:
            engine.cancel(futures[2])
        engine.step()
        if all(future.done() for future in futures):
            break

    assert futures[2].exception(timeout=0) is not None
    del texts[2], expected[2]
    assert share_equal(texts, expected) >= 0.9


def test_two_engines_share_a_gpu(device: torch.device) -> None:
    asked = requests(20)
    expected = tokens_of(Engine(on(device), slots=20), asked)
    engines = [Engine(on(device), slots=20) for _ in range(2)]
    results: list[list[list[int]]] = [[], []]

    def write(number: int) -> None:
        results[number] = tokens_of(engines[number], asked)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)

    assert all(share_equal(texts, expected) >= 0.9 for texts in results)


def test_a_thread_of_its_own_runs_on_the_device_that_was_named(device: torch.device) -> None:
    last = f"cuda:{torch.cuda.device_count() - 1}"
    engine = Engine.load(str(VERSE_FOLDER), slots=4, device=last)
    engine.start()
    prompt = tuple(engine.tokenizer.encode("The rose of morning\n"))

    futures = [
        engine.submit(Request(prompt, Sampling(seed=seed, max_tokens=20)), lambda _: None) for seed in range(6)
    ]
    done = [future.result(timeout=120).reason for future in futures]
    engine.stop()

    assert set(done) <= {"stop", "length"}
    assert engine.numerics is None or len(engine.numerics) == 16


def test_the_self_test_runs_on_the_gpu(device: torch.device) -> None:
    numerics = numerics_of(on(device, torch.bfloat16).model)

    assert numerics is None or len(numerics) == 16
