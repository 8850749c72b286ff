"""Compares the engine's greedy text, token for token, with `transformers.generate`.

    python -m bench.greedy_equality --model checkpoints/quire-verse --prompts 50

All prompts run in the engine in one batch, and one at a time in transformers. Two programs that add the same
numbers in another order may part where the two best tokens are as good as equal; so a difference is allowed
where the reference's two best logits are at most 1e-4 apart, and the exit status is 1 if any other is found.
"""

import argparse
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

import worker.engine as quire_engine

ALLOWED_GAP = 1e-4
OPENINGS = (
    "The rose of morning\n",
    "A poem about the sea and the moon.\n\n",
    "When winter comes,",
    "O wild west wind, thou breath of",
    "She walks",
    "In the city of iron and rain\nI heard a voice",
    "Song\n\n",
    "A poem about memory, stone and bread.\n\n",
    "Once",
    "My love is like",
)
THEMES = ("the night", "an old garden", "war and sleep", "a child's boat", "the last of the snow")


@dataclass(frozen=True)
class Difference:
    """Where two texts part: the token's index, and the reference's two best (id, logit)."""

    prompt: str
    position: int
    best: tuple[tuple[int, float], tuple[int, float]]

    @property
    def gap(self) -> float:
        return self.best[0][1] - self.best[1][1]


def prompts(count: int) -> list[str]:
    """Return `count` different prompts, verse-like openings and themes."""
    numbered = (
        opening if not turn else f"{opening}{theme} {'again ' * (turn // len(THEMES))}"
        for turn in itertools.count()
        for opening, theme in zip(OPENINGS, itertools.cycle(THEMES[turn % 5 :] + THEMES[: turn % 5]))
    )
    return list(itertools.islice(numbered, count))


def engine_texts(model: str, texts: list[str], max_tokens: int) -> list[tuple[list[int], list[int]]]:
    """Return (prompt, generated) token ids of each text from the engine."""
    engine = quire_engine.Engine.load(model, slots=len(texts), device="cpu")
    print(f"numerics: {engine.numerics}")
    engine.start()
    greedy = quire_engine.Sampling(seed=0, temperature=0, max_tokens=max_tokens)
    results: list[tuple[list[int], list[int]]] = []
    futures = []
    for text in texts:
        prompt, generated = engine.tokenizer.encode(text), list[int]()
        request = quire_engine.Request(prompt=tuple(prompt), sampling=greedy)
        results.append((prompt, generated))
        futures.append(engine.submit(request, _collector(generated)))
    for future in futures:
        future.result(timeout=600)
    engine.stop()
    return results


def _collector(ids: list[int]) -> Callable[[quire_engine.Delta], None]:
    return lambda delta: ids.extend(delta.tokens)


@torch.inference_mode()
def reference_text(reference: Any, prompt: list[int], max_tokens: int) -> tuple[list[int], Tensor]:
    """Return the token ids transformers generates, and the logits (tokens, vocabulary) it chose them by."""
    answer = reference.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=max_tokens,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    ids: list[int] = answer.sequences[0, len(prompt) :].tolist()
    return ids, torch.cat(answer.logits)


def first_difference(text: str, ours: list[int], theirs: list[int], logits: Tensor) -> Difference | None:
    """Return where `ours` and `theirs` part; None if they are equal."""
    for position, (a, b) in enumerate(itertools.zip_longest(ours, theirs)):
        if a != b:
            best = torch.topk(logits[min(position, len(logits) - 1)], 2)
            (first, second), (high, low) = best.indices.tolist(), best.values.tolist()
            return Difference(text, position, ((first, high), (second, low)))
    return None


def main() -> int:
    """Run the comparison; return the exit status."""
    parser = argparse.ArgumentParser(description="greedy text of the engine against transformers.generate")
    parser.add_argument("--model", default="checkpoints/quire-verse")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--max-tokens", type=int, default=100)
    options = parser.parse_args()
    texts = prompts(options.prompts)
    reference: Any = GPT2LMHeadModel.from_pretrained(options.model, dtype=torch.float32)
    differences: list[Difference] = []
    lengths: list[int] = []
    for text, (prompt, ours) in zip(texts, engine_texts(options.model, texts, options.max_tokens), strict=True):
        theirs, logits = reference_text(reference, prompt, options.max_tokens)
        lengths.append(len(theirs))
        difference = first_difference(text, ours, theirs, logits)
        if difference is not None:
            differences.append(difference)
    print(f"equal: {len(texts) - len(differences)}  differing: {len(differences)}  tokens: {sum(lengths)}")
    for d in differences:
        print(f"  {d.prompt!r} at token {d.position}: best {d.best[0]}, {d.best[1]}, gap {d.gap:.2e}")
    return int(any(d.gap > ALLOWED_GAP for d in differences))


if __name__ == "__main__":
    sys.exit(main())
