"""`python -m bench.longform [guards]`: books with each guard, measured beside plain windows and human text.

`python -m bench.longform costs`: what books cost; see costs.py.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.longform import costs, measures
from bench.longform.measures import NGrams, mean
from quire.longform import Guard, Plan, PlannedPart, heading
from quire.pieces import Entry, Piece, fold
from quire.settings import REPOSITORY
from quire.spec import Parameters
from worker.creative.longform.book import Book
from worker.creative.longform.loops import repetition
from worker.engine import Engine
from worker.novelist import Pen, draw_window
from worker.sequences import Sequences

RESULTS = REPOSITORY / "bench" / "results" / "longform.json"
HUMAN = REPOSITORY / "bench" / "engine" / "held_out.jsonl"
PREMISE = "A poem of the harbour, the winter night, and the sailor's return."
VARIANTS = {
    "plain windows": Guard(no_repeat=0),
    "no_repeat 12": Guard(),
    "no_repeat 4": Guard(no_repeat=4),
    "penalty 1": Guard(no_repeat=0, penalty=1.0),
    "retries 3": Guard(no_repeat=0, retries=3),
    "draws 3": Guard(no_repeat=0, draws=3),
    "no_repeat 12, penalty 0.5, draws 3": Guard(penalty=0.5, draws=3),
    "no_repeat 4, penalty 0.5": Guard(no_repeat=4, penalty=0.5),
}


class Shelf:
    """Stands for the log of a job."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, *entries: Entry) -> None:
        self.entries += entries


def write(engine: Engine, guard: Guard, seed: int, tokens: int, temperature: float) -> list[Piece]:
    parts = tuple(PlannedPart(heading=heading("epic", "en", n), tokens=tokens // 4) for n in range(1, 5))
    plan = Plan(
        title="The Harbour", premise=PREMISE, form="epic", language="en", parts=parts, window=128, ending=64,
        guard=guard,
    )  # fmt: skip
    shelf = Shelf()
    book = Book(plan, seed=seed, context=engine.context_length, tokenizer=engine.tokenizer, written=())
    sequences = Sequences(engine)
    while (window := book.next()) is not None:
        pen = Pen(book, window, shelf)
        draw_window(
            plan, window, Parameters(temperature=temperature), pen, sequences, engine.tokenizer,
            vocabulary=engine.vocab_size,
        )  # fmt: skip
    return fold(shelf.entries)


def measured(books: list[list[Piece]], model: NGrams, decode: Callable[[Sequence[int]], str]) -> dict[str, float]:
    tokens = [[token for piece in book for token in piece.ids] for book in books]
    return {
        "books": len(books),
        "tokens": sum(map(len, tokens)),
        "books with a loop": sum(map(measures.has_loop, tokens)),
        "rep-4": mean(measures.repeated(each, 4) for each in tokens),
        "distinct-3": 1 - mean(measures.repeated(each, 3) for each in tokens),
        "zlib": mean(measures.zlib_ratio(decode(window)) for each in tokens for window in measures.windows(each)),
        "self-BLEU": mean(measures.self_bleu([piece.ids for piece in book]) for book in books),
        "terms": mean(measures.terms_recur(PREMISE, [piece.text for piece in book]) for book in books),
        "perplexity, trigrams": mean(map(model.perplexity, tokens)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="guards", choices=("guards", "costs"))
    parser.add_argument("--books", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=2048, help="of each book")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.5, 0.8, 1.0], help="low ones loop")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--model", default=str(REPOSITORY / "checkpoints" / "quire-verse"))
    parser.add_argument("--write", action="store_true", help=f"into {RESULTS.name}")
    parser.add_argument("--probes", type=int, default=20, help="costs: short jobs that wait beside books")
    parser.add_argument("--note", help="costs: what is to be known of the machine, beside the figures")
    asked = parser.parse_args()
    if asked.part == "costs":
        costs.main(asked.books, asked.probes, asked.note)
        return
    engine = Engine.load(asked.model, slots=asked.books * 3, device="cpu", precision="int8")
    engine.start()
    human = [engine.tokenizer.encode(json.loads(line)) for line in HUMAN.read_text().splitlines()]
    model = NGrams(human, engine.vocab_size)
    pages = measures.windows([token for text in human for token in text])
    figures: dict[str, Any] = {
        "human, 5 to 95 %": {
            "rep-4": measures.band(repetition(page, 4) for page in pages),
            "distinct-3": measures.band(1 - repetition(page, 3) for page in pages),
            "zlib": measures.band(measures.zlib_ratio(engine.tokenizer.decode(page)) for page in pages),
        }
    }
    for temperature, variant in itertools.product(asked.temperatures, asked.variants):
        name, guard = f"{variant}, temperature {temperature:g}", VARIANTS[variant]
        started = time.monotonic()
        with ThreadPoolExecutor(asked.books) as pool:
            written = [
                pool.submit(write, engine, guard, seed, asked.tokens, temperature) for seed in range(asked.books)
            ]
            books = [each.result() for each in written]
        figures[name] = measured(books, model, engine.tokenizer.decode) | {
            "seconds": round(time.monotonic() - started, 1)
        }
        print(name, {key: round(value, 3) for key, value in figures[name].items()}, flush=True)
    engine.stop()
    if asked.write:
        setting = {"model": Path(asked.model).name, "precision": "int8"}
        RESULTS.write_text(json.dumps({"setting": setting, "variants": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
