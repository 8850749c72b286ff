"""The peer: what one writes first. A Celery task that calls `generate` of transformers for one job at a time."""

import os
from typing import Any

import torch
from celery import Celery
from transformers import AutoModelForCausalLM, AutoTokenizer

app = Celery("naive", broker=os.environ["NAIVE_REDIS_URL"], backend=os.environ["NAIVE_REDIS_URL"])
app.conf.update(worker_prefetch_multiplier=1, worker_hijack_root_logger=False)

loaded: dict[str, Any] = {}


def _load() -> tuple[Any, Any]:
    if not loaded:
        source = os.environ["NAIVE_MODEL"]
        loaded["model"] = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
        loaded["tokenizer"] = AutoTokenizer.from_pretrained(source)
    return loaded["model"], loaded["tokenizer"]


@app.task(name="naive.generate")
def generate(prompt: str, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Generate one piece; returns its text and how many tokens it has."""
    model, tokenizer = _load()
    torch.manual_seed(seed)
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=True, pad_token_id=model.config.eos_token_id, **options)
    new = output[0, inputs["input_ids"].shape[1] :]
    return {"text": tokenizer.decode(new, skip_special_tokens=True), "tokens": len(new)}
