"""Train a checkpoint's network; run it again to go on from its last save.

The same code serves CPU and GPU. On a GPU, and on a CPU with tiles for bf16 (AMX), it
computes in bf16 with fp32 weights; on a GPU it is compiled, the tokens lie on the device, and
the host runs at most two steps ahead and looks at no loss between two lines of the log.
Progress, 0 to 1, drives the learning rate: the larger share of steps done and minutes spent, so
that a run ends on a cold rate whatever the machine's speed.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.progress import Progress as Bar
from safetensors.torch import save_file
from torch import Tensor, nn

from training import config
from training.network import Network
from training.rows import Feed, HeldOut, held_out, load
from training.schedule import Progress, learning_rate

Losses = Callable[[Tensor, Tensor], Tensor]
Optimisers = Sequence[torch.optim.Optimizer]
STEPS_AHEAD = 2
MOMENTUM = 0.95  # Muon's


def new_optimisers(network: Network, settings: config.Training) -> Optimisers:
    """AdamW, with decay on matrices only; with ``muon``, that has the matrices of the blocks instead.

    Muon (Jordan et al. 2024) takes its updates orthogonal. Scaled to the usual size of AdamW's, as Liu
    et al. (2025) have it, they share its learning rate and decay. `ValueError` names any other optimiser.
    """
    blocks = {p for p in network.transformer.h.parameters() if p.dim() == 2}
    by_muon = {"adamw": set[nn.Parameter](), "muon": blocks}.get(settings.optimiser)
    if by_muon is None:
        raise ValueError(f"optimiser should be adamw or muon, not {settings.optimiser}")
    rest = [p for p in network.parameters() if p not in by_muon]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.dim() == 1], "weight_decay": 0.0},
    ]
    moments = (settings.first_moment, settings.second_moment)
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=settings.learning_rate, betas=moments, fused=True)
    ]
    if by_muon:
        in_order = [p for p in network.parameters() if p in by_muon]
        found.append(
            torch.optim.Muon(
                in_order,
                lr=settings.learning_rate,
                weight_decay=settings.weight_decay,
                momentum=MOMENTUM,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return found


def computes_in_bf16(device: torch.device) -> bool:
    """Whether bf16 is the faster precision of a device: every GPU's, and that of a CPU with AMX."""
    return device.type == "cuda" or bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - has no public name


def loss_function(network: Network, device: torch.device) -> Losses:
    """The network's losses as this device computes them best."""
    if not computes_in_bf16(device):
        return network
    torch.set_float32_matmul_precision("high")
    compiled = torch.compile(network, dynamic=False) if device.type == "cuda" else network

    def losses(ids: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            found: Tensor = compiled(ids, targets)
        return found

    return losses


def mean_loss(losses: Losses, rows: Tensor) -> Tensor:
    """Mean loss of rows of token ids, int64 (rows, length + 1)."""
    return losses(rows[:, :-1].contiguous(), rows[:, 1:].contiguous()).mean()


def warm(network: Network, losses: Losses, feed: Feed, settings: config.Training) -> None:
    """Compile both modes before the schedule begins; weights, random state and the feed stay as they were."""
    place, random_state = feed.place, torch.get_rng_state()
    rows = feed.batch(settings.rows_at_once)
    mean_loss(losses, rows).backward()  # type: ignore[no-untyped-call]
    network.zero_grad(set_to_none=True)
    network.eval()
    with torch.no_grad():
        float(mean_loss(losses, rows))
    network.train()
    torch.set_rng_state(random_state)
    feed.rewind(place)


def check(network: Network, losses: Losses, rows: HeldOut, at_once: int, device: torch.device) -> dict[str, float]:
    """Mean held-out loss, nats a token, over all and for each domain.

    The last batch is filled up with rows of the first, which are not counted: shapes stay as compiled.
    """
    network.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(rows.ids), at_once):
            part = rows.ids[start : start + at_once]
            filled = torch.cat([part, rows.ids[:1].expand(at_once - len(part), -1)]).to(device)
            nats = losses(filled[:, :-1].contiguous(), filled[:, 1:].contiguous())
            found.append(nats[: len(part)].double().cpu())
    network.train()
    nats, kinds = torch.cat(found).flatten(), rows.domains.flatten()
    counts = torch.bincount(kinds, minlength=len(rows.names))
    sums = torch.bincount(kinds, weights=nats, minlength=len(rows.names))
    by_domain = {name: float(sums[i] / counts[i]) for i, name in enumerate(rows.names) if counts[i]}
    return {"all": float(nats.mean()), **by_domain}


def step(losses: Losses, optimisers: Optimisers, feed: Feed, settings: config.Training, rate: float) -> Tensor:
    """Update the weights by one batch, in parts, and return its mean loss, not yet read from the device."""
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    for group in groups:
        group["lr"] = rate
    parameters = [p for group in groups for p in group["params"]]
    parts = settings.rows // settings.rows_at_once
    total = torch.zeros((), device=parameters[0].device)
    for _ in range(parts):
        loss = mean_loss(losses, feed.batch(settings.rows_at_once)) / parts
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(parameters, settings.gradient_norm)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return total


class Pace:
    """Keeps the host at most `STEPS_AHEAD` steps ahead of the device, so that the clock tells the truth."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[torch.cuda.Event] = []

    def stepped(self) -> None:
        """Mark the end of a step, and wait for the one `STEPS_AHEAD` before it."""
        if self._device.type == "cuda":
            mark = torch.cuda.Event()  # type: ignore[no-untyped-call]
            mark.record()
            self._marks.append(mark)
            if len(self._marks) > STEPS_AHEAD:
                self._marks.pop(0).synchronize()


class Run:
    """The files of one run: weights, state and curve."""

    def __init__(self, work: Path) -> None:
        self.weights = work / "weights.safetensors"
        self.state = work / "state.pt"
        self.curve = work / "curve.jsonl"
        self.machine = work / "machine.json"

    def save(self, network: Network, optimisers: Optimisers, feed: Feed, progress: Progress) -> None:
        """Write fp16 weights and the whole state, each beside and renamed: a kill leaves the last save whole."""
        half = {name: value.detach().half().cpu().contiguous() for name, value in network.state_dict().items()}
        part = self.weights.with_suffix(".part")
        save_file(half, part, metadata={"format": "pt"})
        part.replace(self.weights)
        state = {
            "model": network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
            "random": torch.get_rng_state(),
            "place": feed.place,
            "progress": vars(progress),
        }
        part = self.state.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.state)

    def restore(self, network: Network, optimisers: Optimisers, feed: Feed) -> Progress:
        """Take up the last save, if there is one, and say how far it is."""
        if not self.state.exists():
            self.curve.unlink(missing_ok=True)
            return Progress()
        state = torch.load(self.state, map_location="cpu", weights_only=True)
        network.load_state_dict(state["model"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        torch.set_rng_state(state["random"])
        feed.seek(*state["place"])
        progress = Progress(**state["progress"])
        if self.curve.exists():
            lines = self.curve.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["step"] <= progress.step]
            self.curve.write_text("".join(kept), encoding="utf-8")
        return progress

    def log(self, record: dict[str, object]) -> None:
        """Append one line to the learning curve and print it."""
        with self.curve.open("a", encoding="utf-8") as out:
            out.write(json.dumps(record) + "\n")
        print("train:", json.dumps(record), flush=True)


def machine(device: torch.device) -> dict[str, object]:
    """What a run was computed on, for the model card."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "precision": "bf16" if computes_in_bf16(device) else "fp32",
        "torch": torch.__version__,
    }


def rounded(losses: dict[str, float]) -> dict[str, float]:
    """Losses as the curve keeps them."""
    return {name: round(value, 4) for name, value in losses.items()}


def run(settings: config.Config) -> None:
    """Train until the schedule ends; write `weights.safetensors`, `state.pt`, `curve.jsonl`, `machine.json`."""
    training, length = settings.training, settings.model.positions
    torch.manual_seed(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = Network(settings.model, settings.vocabulary.size).to(device)
    network.train()
    optimisers = new_optimisers(network, training)
    feed = Feed(load(settings.work, "train"), settings.repeats, length, settings.seed, device)
    unseen = held_out(load(settings.work, "validation"), length, training.check_rows, settings.seed)
    files = Run(settings.work)
    progress = files.restore(network, optimisers, feed)
    files.machine.write_text(json.dumps(machine(device)), encoding="utf-8")
    print(f"train: {feed.rows_a_pass:,} rows of {length} a pass, {len(unseen.ids)} held out", flush=True)
    losses = loss_function(network, device)
    warm(network, losses, feed, training)
    pace = Pace(device)
    began = time.monotonic() - progress.seconds
    saved, checked = progress.seconds, int(progress.share(training) * training.checks)
    total, counted = torch.zeros((), device=device), 0
    ended = progress.share(training) >= 1
    with Bar() as bar:
        bar_id = bar.add_task("train", total=1.0)
        while not ended:
            rate = learning_rate(progress.share(training), training)
            total += step(losses, optimisers, feed, training, rate)
            counted += 1
            pace.stepped()
            progress.step += 1
            progress.tokens += training.rows * length
            progress.seconds = time.monotonic() - began
            share = progress.share(training)
            ended = share >= 1
            bar.update(bar_id, completed=share)
            due = int(share * training.checks) > checked
            if ended or progress.seconds - saved >= training.save_seconds:
                files.save(network, optimisers, feed, progress)
                saved = progress.seconds
            if ended or due or progress.step % training.log_every == 0:
                record: dict[str, object] = {**progress.record(), "rate": round(rate, 7)}
                record["loss"] = round(float(total) / counted, 4)
                total, counted = torch.zeros((), device=device), 0
                if ended or due:
                    checked = int(share * training.checks)
                    record["held_out"] = rounded(check(network, losses, unseen, training.rows_at_once, device))
                files.log(record)
