"""`python -m chaos.oracle --folder F [--model M]`: the model of a run, and the text of each work without faults.

A process of its own, because it is the only part here that needs torch. It prints JSON: the model's folder, and
for each of `works.ALL` its pieces.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from chaos.works import ALL, HARMFUL, Work
from quire.pieces import Entry, fold
from quire.settings import REPOSITORY
from quire.spec import Parameters
from worker.creative import text
from worker.engine import Delta, Engine

SHIPPED = REPOSITORY / "checkpoints/quire-verse"
SEED = 20260131
SLOTS = 32
CONTEXT = 256


@dataclass(frozen=True)
class Text:
    """One piece as it ends."""

    text: str
    finish: str | None
    tokens: int


def make_checkpoint(folder: Path) -> None:
    """Write a GPT-2 of one narrow layer and random weights, with the tokenizer of the shipped one."""
    import torch  # noqa: PLC0415 - only where it is needed
    from transformers import GPT2Config, GPT2LMHeadModel  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(SHIPPED / name, folder / name)
    vocabulary = json.loads((SHIPPED / "config.json").read_text())["vocab_size"]
    torch.manual_seed(SEED)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=CONTEXT,
        n_layer=1,
        n_embd=64,
        n_head=2,
        initializer_range=0.4,  # wide enough that texts vary instead of repeating one token
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)


def texts(source: str, works: Sequence[Work]) -> list[list[Text]]:
    """Return the pieces of each work, as an engine that nothing disturbs makes them; none of harmful works."""
    engine = Engine.load(source, slots=SLOTS, threads=1)
    engine.start()
    try:
        return [[] if work in HARMFUL else _pieces(engine, work) for work in works]
    finally:
        engine.stop()


def _pieces(engine: Engine, work: Work) -> list[Text]:
    fields = {name: value for name, value in work.body().items() if name in Parameters.model_fields}
    plan = text.requests(
        Parameters(**fields), seed=work.seed, prompt=tuple(engine.tokenizer.encode(work.prompt)), written=[]
    )
    entries: list[Entry] = []
    futures = {draw: engine.submit(request, partial(_keep, entries, draw)) for draw, request in plan.items()}
    ends = {draw: future.result(timeout=300).reason for draw, future in futures.items()}
    return [Text(piece.text, ends[piece.index], len(piece.ids)) for piece in fold(entries)]


def _keep(entries: list[Entry], draw: int, delta: Delta) -> None:
    entries.append(text.entry(draw, delta))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where a random model is made")
    parser.add_argument("--model", help="an existing checkpoint in its place")
    options = parser.parse_args()
    if options.model is None:
        make_checkpoint(options.folder)
    source = str(Path(options.model).resolve()) if options.model else str(options.folder)
    made = texts(source, ALL)
    json.dump({"model": source, "texts": [[asdict(piece) for piece in pieces] for pieces in made]}, sys.stdout)


if __name__ == "__main__":
    main()
