"""Train the verse model; run it again to go on from its last save.

Progress, 0 to 1, drives the learning rate and the last phase. It is the larger
share of steps done and minutes spent, so that a busy machine shortens the run
and still ends it on a cold learning rate.
"""

import json
import os
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from training import config
from training.rows import END, Batch, Reader, load_tokens, place
from training.schedule import Progress, learning_rate

STATE = config.WORK / "state.pt"
CURVE = config.WORK / "curve.jsonl"
MACHINE = config.WORK / "machine.json"


def new_model(settings: config.Config) -> GPT2LMHeadModel:
    """A GPT-2 with fresh weights and a tied head."""
    shape = settings.model
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=settings.vocabulary.size,
            n_positions=shape.positions,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            resid_pdrop=shape.dropout,
            embd_pdrop=shape.dropout,
            attn_pdrop=shape.dropout,
            bos_token_id=END,
            eos_token_id=END,
            pad_token_id=END,
        )
    )


def new_optimiser(model: GPT2LMHeadModel, settings: config.Training) -> torch.optim.AdamW:
    """AdamW; decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.second_moment), fused=True)


def loss_of(model: GPT2LMHeadModel, batch: Batch) -> Tensor:
    """Mean cross-entropy, nats a token, of each row's next tokens; bf16 on a GPU."""
    device = model.device
    ids, positions = batch.ids.to(device), batch.positions.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = model(ids[:, :-1], position_ids=positions[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def held_out_loss(model: GPT2LMHeadModel, settings: config.Config) -> float:
    """Mean loss, nats a token, over the first held-out rows of full length."""
    reader = Reader(load_tokens("validation"), settings.seed)
    length, rows = settings.model.positions, settings.training.check_rows
    draw = np.random.default_rng(0)
    model.eval()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        batches = [place(reader.batch(4, length), length, 0.0, draw) for _ in range(rows // 4)]
        losses = [float(loss_of(model, batch)) for batch in batches]
    model.train()
    return sum(losses) / len(losses)


def next_batch(reader: Reader, settings: config.Config, progress: Progress) -> Batch:
    """Short rows at mixed positions, and full-length rows in the last phase."""
    training, positions = settings.training, settings.model.positions
    draw = np.random.default_rng((settings.seed, progress.step))
    if progress.share(training) >= 1 - training.last_phase:
        return place(reader.batch(training.last_phase_rows, positions), positions, 0.0, draw)
    ids = reader.batch(training.rows, training.row_tokens)
    return place(ids, positions, training.shifted, draw)


def train_step(
    model: GPT2LMHeadModel, optimiser: torch.optim.Optimizer, batch: Batch, settings: config.Training
) -> float:
    """Update the weights by one batch and return its loss, nats a token."""
    loss = loss_of(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_norm)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return float(loss.detach())


def save(model: GPT2LMHeadModel, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write beside and rename, so that a kill leaves the last save whole."""
    part = STATE.with_suffix(".part")
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "rng": torch.get_rng_state(),
        "progress": vars(progress),
    }
    torch.save(state, part)
    part.replace(STATE)


def restore(model: GPT2LMHeadModel, optimiser: torch.optim.Optimizer, settings: config.Training) -> Progress:
    """Take up the last save, if there is one, and say how far it is."""
    if not STATE.exists():
        return Progress()
    state = torch.load(STATE, map_location=model.device, weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["rng"].cpu())
    for group in optimiser.param_groups:  # the config wins over what was saved
        group["betas"] = (0.9, settings.second_moment)
    return Progress(**state["progress"])


def log(record: dict[str, float]) -> None:
    """Append one line to the learning curve and print it."""
    with CURVE.open("a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")
    print("train:", " ".join(f"{k} {v:.4g}" for k, v in record.items()), flush=True)


def trim_curve(step: int) -> None:
    """Drop what was logged after the save that a run goes on from, as it will be logged again."""
    if CURVE.exists():
        lines = CURVE.read_text(encoding="utf-8").splitlines(keepends=True)
        CURVE.write_text("".join(x for x in lines if json.loads(x)["step"] <= step), encoding="utf-8")


def machine(device: torch.device) -> dict[str, object]:
    """What a run was computed on, for the model card."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {"device": name, "threads": torch.get_num_threads(), "cores": os.cpu_count()}


def main() -> None:
    """Train until the schedule ends; write `build/state.pt` and `build/curve.jsonl`."""
    settings = config.load()
    training = settings.training
    torch.manual_seed(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = new_model(settings).to(device)  # type: ignore[arg-type]
    model.train()
    optimiser = new_optimiser(model, training)
    progress = restore(model, optimiser, training)
    trim_curve(progress.step)
    MACHINE.write_text(json.dumps(machine(device)), encoding="utf-8")
    reader = Reader(load_tokens("train"), settings.seed, progress.cursor)
    losses: list[float] = []
    while progress.share(training) < 1:
        began = time.monotonic()
        rate = learning_rate(progress.share(training), training)
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = next_batch(reader, settings, progress)
        losses.append(train_step(model, optimiser, batch, training))
        progress.advance(batch.ids[:, 1:].numel(), reader.cursor, time.monotonic() - began)
        ended = progress.share(training) >= 1
        if ended or progress.step % training.log_every == 0:
            record = progress.record() | {"rate": rate, "loss": sum(losses) / len(losses)}
            losses.clear()
            if ended or progress.step % training.check_every == 0:
                record["held_out"] = held_out_loss(model, settings)
            log(record)
        if ended or progress.step % training.save_every == 0:
            save(model, optimiser, progress)


if __name__ == "__main__":
    main()
