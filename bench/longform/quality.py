"""Whether books loop, and what each guard against it is worth, beside plain sliding windows and human prose.

Sliding windows are what one does without composing: the same opening, then always the last tokens that there is
room for. prose.jsonl is what quire-english was not trained on: eleven works of fiction of Project Gutenberg and
three novels of Jane Austen, in the public domain. Every second passage gives the human figures; an n-gram model
learns from the others, and knows nothing of the model that is measured.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench import provenance, section
from bench.engine.book import table
from bench.longform import measures
from bench.longform.measures import NGrams, mean
from bench.report import RESULTS
from quire.asking.books import BookRequest, planned
from quire.longform import Guard, Plan, beginning, opening
from quire.pieces import Entry, Piece, fold
from quire.spec import Parameters
from worker.creative import text
from worker.creative.longform.book import Book
from worker.creative.longform.loops import repetition
from worker.defaults import sampling_of
from worker.engine import Engine
from worker.novelist import Pen, draw_window
from worker.sequences import Sequences

NAME = "longform"
WRITER = "python -m bench.longform quality"
PROSE = Path(__file__).with_name("prose.jsonl")
PARTS = 5
PREMISES = (
    ("The Letter", "A lighthouse keeper finds a letter, and sails to the island where it was written."),
    ("The Mill", "Two brothers quarrel about their father's mill, until the river takes it."),
    ("A Winter in Town", "A young lady spends the winter in town, and learns whose friendship is worth having."),
    ("The Captain's Daughter", "A captain's daughter goes to sea in the clothes of a sailor."),
    ("The Garden", "An old gardener guards the secret of a walled garden."),
    ("The Stranger", "A stranger takes a room at the village inn, and the children follow him."),
    ("The Inheritance", "A poor clerk inherits a castle, and with it a promise."),
    ("The Journey North", "Three travellers cross the mountains in search of a lost kingdom."),
    ("The Wedding", "A wedding is put off, and a whole family begins to tell the truth."),
    ("The Hunter", "A hunter spares a wolf, and is led through the forest by it."),
)
SLIDING = "sliding windows"
DEFAULT = "composed windows, no_repeat 12 (the default)"
# Each guard by itself, all without the others; None: no composing either.
VARIANTS: Mapping[str, Guard | None] = {
    SLIDING: None,
    "composed windows": Guard(no_repeat=0),
    DEFAULT: Guard(),
    "no_repeat 4": Guard(no_repeat=4),
    "penalty 0.5": Guard(no_repeat=0, penalty=0.5),
    "retries 3": Guard(no_repeat=0, retries=3),
    "draws 3": Guard(no_repeat=0, draws=3),
    "no_repeat 12, penalty 0.5, retries 3, draws 3": Guard(penalty=0.5, retries=3, draws=3),
}


EXPLAINED = (
    "Novels in five chapters on ten premises. A loop is a span of 20 tokens that comes three times in the book. "
    f"rep-4, zlib ratio and distinct-3 are of windows of {measures.WINDOW} tokens: their mean, and the share of "
    "windows inside the human band (of human windows nine in ten are). self-BLEU: of a chapter's 4-grams, those "
    "that others have; terms: of the premise's words, how many a chapter has; perplexity: under trigrams of other "
    "human prose. Asked: no loops where sliding windows loop; rep-4 and zlib inside the band; distinct-3 and "
    "perplexity no worse than those of sliding windows."
)


class Shelf:
    """Stands for the log of a job."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, *entries: Entry) -> None:
        self.entries += entries


class Human(NamedTuple):
    """Passages that figures are taken of, and the n-gram model of the others."""

    pages: list[Sequence[int]]
    model: NGrams


@dataclass(frozen=True)
class Written:
    premise: str
    parts: list[Piece]

    @property
    def tokens(self) -> list[int]:
        return [token for piece in self.parts for token in piece.ids]


class Author:
    """Writes novels with one engine, drawn as its checkpoint says."""

    def __init__(self, model: str, slots: int, temperature: float | None) -> None:
        self.engine = Engine.load(model, slots=slots, device="cpu", precision="int8")
        own = sampling_of(model) | ({} if temperature is None else {"temperature": temperature})
        self.parameters = Parameters.model_validate(own)

    def write(self, guard: Guard | None, seed: int, tokens: int) -> Written:
        title, premise = PREMISES[seed % len(PREMISES)]
        asked = BookRequest.model_validate(
            {"title": title, "premise": premise, "parts": PARTS, "tokens": tokens // PARTS}
        )
        tokenizer = self.engine.tokenizer
        plan = planned(asked, self.engine.context_length, lambda text: [(0, 0)] * len(tokenizer.encode(text)))
        return Written(premise, self._slid(plan, seed) if guard is None else self._composed(plan, guard, seed))

    def _composed(self, plan: Plan, guard: Guard, seed: int) -> list[Piece]:
        plan = plan.model_copy(update={"guard": guard})
        engine, shelf = self.engine, Shelf()
        book = Book(plan, seed=seed, context=engine.context_length, tokenizer=engine.tokenizer, written=())
        sequences = Sequences(engine)
        while (window := book.next()) is not None:
            draw_window(
                plan, window, self.parameters, Pen(book, window, shelf), sequences, engine.tokenizer,
                vocabulary=engine.vocab_size,
            )  # fmt: skip
        return fold(shelf.entries)

    def _slid(self, plan: Plan, seed: int) -> list[Piece]:
        encode, sequences = self.engine.tokenizer.encode, Sequences(self.engine)
        room = self.engine.context_length - plan.window
        seen, pieces = encode(opening(plan)), []
        for index, part in enumerate(plan.parts):
            seen += encode((plan.gap if index else "") + beginning(plan, part))
            drawn: list[int] = []
            while len(drawn) < part.tokens:
                new = min(plan.window, part.tokens - len(drawn))
                parameters = self.parameters.model_copy(update={"max_tokens": new, "min_tokens": new})
                windows = text.requests(parameters, seed=seed + len(seen), prompt=seen[-room:], written=())
                before = len(drawn)
                for _ in sequences.run(windows, lambda _draw, delta: drawn.extend(delta.tokens)):  # noqa: B023 - run here
                    pass
                seen += drawn[before:]
            pieces.append(Piece(index, tuple(drawn), self.engine.tokenizer.decode(drawn)))
        return pieces


def human(encode: Callable[[str], list[int]], vocabulary: int) -> Human:
    passages = [encode(json.loads(line)) for line in PROSE.read_text(encoding="utf-8").splitlines()]
    shown = [token for passage in passages[::2] for token in passage]
    return Human(measures.windows(shown), NGrams(passages[1::2], vocabulary))


def of_windows(pages: Sequence[Sequence[int]], decode: Callable[[Sequence[int]], str]) -> dict[str, list[float]]:
    """Return what is measured of windows of equal length, of each window."""
    return {
        "rep-4": [repetition(page, 4) for page in pages],
        "zlib": [measures.zlib_ratio(decode(page)) for page in pages],
        "distinct-3": [1 - repetition(page, 3) for page in pages],
    }


def measured(
    books: Sequence[Written], prose: Human, decode: Callable[[Sequence[int]], str]
) -> dict[str, float | list[float]]:
    tokens = [book.tokens for book in books]
    pages = [page for each in tokens for page in measures.windows(each)]
    bands = {name: measures.band(values) for name, values in of_windows(prose.pages, decode).items()}
    found: dict[str, float | list[float]] = {
        "books": len(books),
        "tokens": sum(map(len, tokens)),
        "loops": sum(map(measures.has_loop, tokens)),
    }
    for name, values in of_windows(pages, decode).items():
        low, high = bands[name]
        found[name] = mean(values)
        found[f"{name}, in the band"] = mean(low <= value <= high for value in values)
    return found | {
        "self-BLEU": mean(measures.self_bleu([piece.ids for piece in book.parts]) for book in books),
        "terms": mean(measures.terms_recur(book.premise, [piece.text for piece in book.parts]) for book in books),
        "perplexity": prose.model.perplexity_of(tokens),
    }


def main(model: str, books: int, tokens: int, temperature: float | None, variants: Iterable[str]) -> None:
    """Write the books of each variant, measure them, keep the figures and write the page."""
    chosen = {name: VARIANTS[name] for name in variants}
    author = Author(model, min(64, books), temperature)
    engine = author.engine
    engine.start()
    prose = human(engine.tokenizer.encode, engine.vocab_size)
    decode = engine.tokenizer.decode
    kept = read()
    of_human = of_windows(prose.pages, decode)
    kept["human"] = {
        **{name: mean(values) for name, values in of_human.items()},
        **{f"{name}, band": list(measures.band(values)) for name, values in of_human.items()},
        "perplexity": prose.model.perplexity_of(prose.pages),
    }
    for name, guard in chosen.items():
        started = time.monotonic()
        with ThreadPoolExecutor(min(64, books)) as pool:
            written = list(pool.map(lambda seed: author.write(guard, seed, tokens), range(books)))  # noqa: B023 - run here
        kept[name] = measured(written, prose, decode) | {"seconds": round(time.monotonic() - started, 1)}
        print(name, kept[name], flush=True)
    engine.stop()
    _file().write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    notes = {
        "Drawn": f"temperature {author.parameters.temperature:g}, top_k {author.parameters.top_k}",
        "Model": f"{Path(model).name}, int8",
    }
    made = provenance.of_now("bench.longform", sys.argv[1:], ["torch"], notes)
    for name in chosen:
        provenance.keep(NAME, name, made, RESULTS)
    page()


def page() -> None:
    """Write the section of docs/benchmarks.md from the figures that were kept."""
    kept = read()
    prose = kept["human"]
    columns = ("rep-4", "zlib", "distinct-3")

    def figure(row: Mapping[str, float | list[float]], name: str) -> str:
        share = row[f"{name}, in the band"]
        return f"{row[name]:.3f} ({share:.0%})"

    rows = [
        (
            name,
            f"{row['books']} x {row['tokens'] / row['books']:,.0f}",  # type: ignore[operator]
            str(row["loops"]),
            *(figure(row, column) for column in columns),
            f"{row['self-BLEU']:.3f}",
            f"{row['terms']:.3f}",
            f"{row['perplexity']:,.0f}",
        )
        for name in VARIANTS
        if (row := kept.get(name))
    ]
    bands = (prose[f"{column}, band"] for column in columns)
    own = ("human prose, 5 to 95 %", "", "", *(f"{low:.3f} to {high:.3f}" for low, high in bands), "", "")  # type: ignore[misc]
    heads = ["", "books x tokens", "with a loop", *columns, "self-BLEU", "terms", "perplexity"]
    lines = [
        "## Whether books loop",
        "",
        EXPLAINED,
        "",
    ]
    measured_on = provenance.read(NAME, RESULTS)
    lines += [*provenance.places(measured_on), *table(heads, [*rows, (*own, f"{prose['perplexity']:,.0f}")])]
    seen: set[str] = set()
    for one in measured_on.values():
        if one.command not in seen:
            lines += provenance.how(one)
        seen.add(one.command)
    section.put(WRITER, lines)


def read() -> dict[str, dict[str, float | list[float]]]:
    """Return the figures that were kept, of each variant and of human prose."""
    if not _file().exists():
        return {}
    kept: dict[str, dict[str, float | list[float]]] = json.loads(_file().read_text(encoding="utf-8"))
    return kept


def _file() -> Path:
    return RESULTS / f"{NAME}.json"
