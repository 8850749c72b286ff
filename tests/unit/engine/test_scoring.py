"""How probable a text is: the measure by which precisions are compared."""

from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from worker.engine.loading import LoadedModel
from worker.engine.scoring import logprobs

IDS = [(i * 37 + 11) % 400 for i in range(128)]


@pytest.mark.parametrize("count", [2, 16, 17, 100, 128])
def test_a_text_is_as_probable_as_to_transformers(loaded: LoadedModel, checkpoint: Path, count: int) -> None:
    reference = GPT2LMHeadModel.from_pretrained(checkpoint, dtype=torch.float32)
    with torch.inference_mode():
        expected = torch.log_softmax(reference(torch.tensor([IDS[:count]])).logits[0].double(), dim=-1)

    found = logprobs(loaded.model, IDS[:count])

    assert found == pytest.approx([expected[at, IDS[at + 1]].item() for at in range(count - 1)], abs=1e-3)


def test_chunks_change_nothing(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = logprobs(loaded.model, IDS)
    monkeypatch.setattr("worker.engine.scoring._CHUNK", 7)

    assert logprobs(loaded.model, IDS) == pytest.approx(whole, abs=1e-4)
    assert len(whole) == 127


def test_the_first_token_has_no_probability(loaded: LoadedModel) -> None:
    assert logprobs(loaded.model, IDS[:1]) == []
