"""Write the trained weights and the vocabulary as a checkpoint that `transformers` and the engine load."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import GenerationConfig, GPT2Config, PreTrainedTokenizerFast

from training import config
from training.rows import END


def model_config(settings: config.Config) -> GPT2Config:
    """The shape as `transformers` names it; the head is tied, attention itself had no dropout.

    `quire_kind` tells workers that a model is for tunes.
    """
    shape = settings.model
    kind: dict[str, Any] = {"quire_kind": "music"} if settings.kind == "tunes" else {}
    return GPT2Config(
        **kind,
        architectures=["GPT2LMHeadModel"],
        vocab_size=settings.vocabulary.size,
        n_positions=shape.positions,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=shape.dropout,
        embd_pdrop=shape.dropout,
        attn_pdrop=0.0,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        dtype=torch.float32,
    )


def export(settings: config.Config, folder: Path) -> None:
    """Write config, generation defaults, fp16 weights and the tokenizer.

    The weights are stored in half precision and meant to be computed in fp32: the config says
    float32, because `transformers` loads what the config names and half precision is slow on a CPU.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        load_file(settings.work / "weights.safetensors"), folder / "model.safetensors", metadata={"format": "pt"}
    )
    (folder / "model.safetensors").chmod(0o644)  # written private; a checkpoint is for everyone
    model_config(settings).save_pretrained(folder)
    GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        do_sample=True,
        temperature=settings.evaluation.temperature,
        top_k=settings.evaluation.top_k,
    ).save_pretrained(folder)
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_file(str(settings.work / "tokenizer.json")),
        bos_token=config.END_OF_TEXT,
        eos_token=config.END_OF_TEXT,
        pad_token=config.END_OF_TEXT,
        model_max_length=settings.model.positions,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def run(settings: config.Config) -> None:
    """Write `checkpoints/<name>/`; figures and card come from the next two steps."""
    export(settings, config.CHECKPOINTS / settings.name)
    last = json.loads((settings.work / "curve.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    print(f"export: step {last['step']} to checkpoints/{settings.name}", flush=True)
