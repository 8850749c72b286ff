"""Write samples from a checkpoint by fixed seeds."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training import config
from training.rows import END

BATCH = 50


def text_of(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """Decode one list of ids, end-of-text marks included."""
    return str(tokenizer.decode(ids))


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    settings: config.Evaluation,
    seed: int,
) -> list[list[int]]:
    """Continue each prompt and return the new ids, up to but without the end-of-text mark.

    Every prompt gets the end-of-text mark in front; `seed` covers the whole list.
    """
    torch.manual_seed(seed)
    written: list[list[int]] = []
    for start in range(0, len(prompts), BATCH):
        texts = [config.END_OF_TEXT + prompt for prompt in prompts[start : start + BATCH]]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        ids = model.generate(  # type: ignore[operator]
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=settings.sample_tokens,
            do_sample=True,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=1.0,
        )
        rows = ids[:, batch["input_ids"].shape[1] :].tolist()
        written += [row[: row.index(END)] if END in row else row for row in rows]
    return written
