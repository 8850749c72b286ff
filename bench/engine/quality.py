"""What int8 costs: perplexity of the shipped checkpoint on verse that it never saw, beside fp32 and transformers.

`held_out.jsonl` has the documents: every eighth of those that the checkpoint's training held out, in the public
domain like all of them.
"""

import json
import math
from pathlib import Path

from tokenizers import Tokenizer

from bench.engine.driver import peer, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.report import Figure

HELD_OUT = Path(__file__).parent / "held_out.jsonl"
TRANSFORMERS = "transformers fp32"


def measure(options: Options) -> Measured:
    rows = _rows(options)
    theirs = _perplexity(options, "transformers", "fp32", rows)
    own = {precision: _perplexity(options, "ours", precision, rows) for precision in options.precisions}
    figures = [Figure("perplexity_transformers_fp32", theirs, "")]
    figures += [
        Figure(f"perplexity_{precision}", value, "", TRANSFORMERS, theirs / value)
        for precision, value in own.items()
    ]
    if {"fp32", "int8"} <= own.keys():
        figures.append(Figure("perplexity_int8", own["int8"], "", "Quire fp32", own["fp32"] / own["int8"]))
    return Measured(figures, {"tokens": f"{sum(map(len, rows)) - len(rows):,} in {len(rows)} rows"})


def _rows(options: Options) -> list[list[int]]:
    """Return the documents as token ids, one after the other, cut into rows as long as the context."""
    config = json.loads((options.quality_model / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(options.quality_model / "tokenizer.json"))
    documents = [json.loads(line) for line in HELD_OUT.read_text(encoding="utf-8").splitlines()]
    ids: list[int] = []
    for document in documents[: options.quality_documents or None]:
        ids += [config["eos_token_id"], *tokenizer.encode(document, add_special_tokens=False).ids]
    length = config["n_positions"]
    rows = [ids[at : at + length] for at in range(0, len(ids), length)]
    return [row for row in rows if len(row) > 1]


def _perplexity(options: Options, name: str, precision: str, rows: list[list[int]]) -> float:
    arguments = [name, precision, "--folder", options.quality_model, "--threads", options.threads]
    with peer("bench.engine.scorer", *arguments, settle=options.settle) as scorer:
        scored = scorer.ask("score", rows=rows)
    perplexity = math.exp(scored["nats"] / scored["tokens"])
    say(f"{name:12} {precision}: perplexity {perplexity:.4f} over {scored['tokens']:,} tokens")
    return perplexity
