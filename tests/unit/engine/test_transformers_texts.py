"""Greedy texts are those of transformers, on each backend that computes in fp32; other models load as well."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from tests.unit.engine.asking import PROMPTS, run
from worker.engine import Engine, Request, Sampling
from worker.engine.loading import LoadedModel

Ask = Callable[..., Request]
MakeCheckpoint = Callable[..., Path]


@pytest.mark.parametrize("any_loaded", ["native-fp32", "plain-fp32"], indirect=True)
@torch.inference_mode()
def test_greedy_texts_equal_those_of_transformers(checkpoint: Path, any_loaded: LoadedModel, ask: Ask) -> None:
    reference = GPT2LMHeadModel.from_pretrained(checkpoint, dtype=torch.float32)
    requests = [ask(prompt, temperature=0, max_tokens=60) for prompt in PROMPTS]

    answers = run(Engine(any_loaded, slots=8), requests)

    for request, answer in zip(requests, answers, strict=True):
        prompt = torch.tensor([request.prompt])
        expected = reference.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=60,
            pad_token_id=0,
        )
        assert answer.tokens == expected[0, prompt.shape[1] :].tolist()
    assert len({tuple(answer.tokens) for answer in answers}) == len(PROMPTS)


def test_a_chinese_word_piece_model_loads_and_writes_text_without_spaces(
    make_checkpoint: MakeCheckpoint, word_piece_folder: Path
) -> None:
    folder = make_checkpoint(vocab_size=64, eos_token_id=50256, bos_token_id=50256)
    for file in word_piece_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    engine = Engine.load(str(folder), slots=2, device="cpu")
    characters = {engine.tokenizer.encode(c)[0]: 100.0 for c in "春眠不觉晓"}
    prompt = tuple(engine.tokenizer.encode("处处闻啼鸟"))

    [answer] = run(engine, [Request(prompt, Sampling(seed=1, max_tokens=20, logit_bias=characters))])

    assert len(answer.text) == 20
    assert set(answer.text) <= set("春眠不觉晓")
