import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worker.engine.gpt2 import Gpt2
from worker.engine.kv_cache import KvCache
from worker.engine.layout import Layout
from worker.engine.loading import LoadedModel, load_model
from worker.engine.numerics import choose_layout, numerics_of

MakeCheckpoint = Callable[..., Path]


def test_the_self_test_names_the_bits_of_this_machine(loaded: LoadedModel) -> None:
    # None where matrix products depend on the batch whatever their shape: a test below holds that this is said.
    assert loaded.numerics is None or re.fullmatch("[0-9a-f]{16}", loaded.numerics)


def test_the_name_is_the_same_again_and_with_another_number_of_threads(
    checkpoint: Path, loaded: LoadedModel
) -> None:
    before = torch.get_num_threads()
    try:
        again = load_model(str(checkpoint), slots=3, device="cpu", threads=1)
    finally:
        torch.set_num_threads(before)

    assert again.numerics == loaded.numerics


def test_other_weights_have_another_name(make_checkpoint: MakeCheckpoint, loaded: LoadedModel) -> None:
    other = load_model(str(make_checkpoint(initializer_range=0.3)), slots=2, device="cpu", threads=None)

    assert other.numerics is None or other.numerics != loaded.numerics


def test_a_model_whose_bits_depend_on_the_batch_promises_nothing_and_says_so(
    loaded: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    class Company(Gpt2):
        def decode(self, cache: KvCache, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
            return super().decode(cache, tokens, positions) * (1 + 1e-6 * len(tokens))

    with caplog.at_level(logging.WARNING):
        name = numerics_of(Company(loaded.model.weights, loaded.model.layout), 128)

    assert name is None
    assert "promises nothing" in caplog.text


@pytest.mark.parametrize("context", [16, 64, 100, 1024])
def test_the_longest_bucket_holds_the_context(loaded: LoadedModel, context: int) -> None:
    layout = choose_layout(loaded.model.weights.shape, context, torch.device("cpu"), torch.float32)

    assert layout.bucket(context) == layout.buckets[-1] >= context
    assert list(layout.buckets) == sorted(set(layout.buckets))


@pytest.mark.parametrize("context", [2, 5, 13])
def test_a_tiny_context_is_tested_too(loaded: LoadedModel, context: int) -> None:
    model = Gpt2(loaded.model.weights, Layout(loaded.model.layout.rows, (64,)))

    assert (numerics_of(model, context) is None) == (loaded.numerics is None)
