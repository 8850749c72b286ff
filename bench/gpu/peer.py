"""`generate_batch` of transformers, its own continuous batching, in bf16 on the same device, beside our engine."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GPT2Config, GPT2LMHeadModel

from bench.gpu.speed import TOP_K, engine_for, requests
from bench.report import Figure
from worker.engine import Engine, Request
from worker.engine.loading import LoadedModel
from worker.engine.weights import Shape

PEER = "transformers generate_batch"
PAGE = 256  # its default
NO_TOKEN = -1
# The first compiles, records and fills what is kept; the last counts.
ROUNDS = 2
RUN_SECONDS = 300.0


def peer_figures(name: str, loaded: LoadedModel, *, count: int, prompt: int, new_tokens: int) -> list[Figure]:
    """Hand the same requests to both, all at once, and measure until the last token of the last one."""
    model = loaded.model
    rounds = [
        requests(
            count,
            vocabulary=model.shape.vocabulary,
            prompt=prompt,
            new_tokens=new_tokens,
            seed=f"{name} {number}",
        )
        for number in range(ROUNDS)
    ]
    engine = engine_for(loaded, batch=count, longest=prompt + new_tokens)
    engine.start()
    ours = [_seconds_of_ours(engine, asked) for asked in rounds][-1]
    engine.stop()
    peer = Peer(model.shape, model.backend.device, count=count, longest=prompt + new_tokens)
    theirs = [peer.seconds([list(request.prompt) for request in asked], new_tokens) for asked in rounds][-1]
    tokens = count * new_tokens
    work = f"{name}: {count} requests of {prompt} + {new_tokens} tokens"
    return [
        Figure(work, tokens / ours, "tokens/s", PEER, theirs / ours),
        Figure(f"{work}, by {PEER}", tokens / theirs, "tokens/s"),
    ]


class Peer:
    """One output length and one sampling setting for all requests of a run, as its API has it."""

    def __init__(self, shape: Shape, device: torch.device, *, count: int, longest: int) -> None:
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)  # it warns at each run
        config = GPT2Config(
            vocab_size=shape.vocabulary,
            n_positions=shape.context,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            bos_token_id=0,
            eos_token_id=0,
        )
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        made: Any = GPT2LMHeadModel
        self._model = made(config).to(device=device, dtype=dtype).eval()
        settings = {"do_sample": True, "eos_token_id": NO_TOKEN, "pad_token_id": 0, "top_k": TOP_K}
        for setting, value in settings.items():
            setattr(self._model.generation_config, setting, value)
        # By default it takes most of the machine's memory.
        self._batching = ContinuousBatchingConfig(page_size=PAGE, num_blocks=count * (-(-longest // PAGE) + 1))

    def seconds(self, prompts: Sequence[list[int]], new_tokens: int) -> float:
        """Return the time of a run.

        Raises:
            RuntimeError: not all that was asked for came back.

        """
        begun = time.perf_counter()
        outputs = self._model.generate_batch(
            prompts,
            continuous_batching_config=self._batching,
            max_new_tokens=new_tokens,
            persistent_manager=True,
        )
        taken = time.perf_counter() - begun
        written = sum(len(output.generated_tokens) for output in outputs.values())
        if written != len(prompts) * new_tokens:
            raise RuntimeError(f"{PEER} wrote {written} tokens of {len(prompts) * new_tokens}")
        return taken


def _seconds_of_ours(engine: Engine, asked: Sequence[Request]) -> float:
    begun = time.perf_counter()
    futures = [engine.submit(request, lambda _: None) for request in asked]
    for future in futures:
        future.result(RUN_SECONDS)
    return time.perf_counter() - begun
