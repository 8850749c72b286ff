"""Write the trained weights and the vocabulary as a checkpoint that `transformers` loads."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig

from training import config, vocabulary
from training.rows import END
from training.train import STATE, new_model


def export(settings: config.Config, folder: Path) -> None:
    """Write config, generation defaults, fp16 weights (tied head once) and the tokenizer.

    The weights are stored in half precision and meant to be computed in fp32:
    the config says float32, because `transformers` loads what the config names
    and half precision is slow on a CPU.
    """
    state = torch.load(STATE, map_location="cpu", weights_only=True)
    model = new_model(settings)
    model.load_state_dict(state["model"])
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        do_sample=True,
        temperature=settings.evaluation.temperature,
        top_k=settings.evaluation.top_k,
    )
    model.half()  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(vocabulary.FOLDER / "tokenizer.json"))
    vocabulary.save(tokenizer, folder, settings.model.positions)
    (folder / "model.safetensors").chmod(0o644)  # written private; a checkpoint is for everyone
    print(f"export: step {state['progress']['step']} to checkpoints/{folder.name}")


def main() -> None:
    """Write `checkpoints/<name>/`; figures and card come from the next two steps."""
    settings = config.load()
    export(settings, config.CHECKPOINTS / settings.name)


if __name__ == "__main__":
    main()
