"""Draws pieces of every form as the checkpoint has it, and prints how many an independent checker finds right.

python -m bench.forms --pieces 500 --checkpoint checkpoints/quire-verse
python -m bench.forms --pieces 10 --show 七绝 "12 lines ABAB"
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bench import report
from bench.forms.checker import Verdict, check_chinese, check_english
from bench.report import Figure
from quire.forms import Asked, compose, rules_of, tokens_usual
from quire.settings import REPOSITORY
from quire.spec import Form, Parameters
from worker.creative import text
from worker.creative.constrained.making import Constraints, vocabulary_of
from worker.defaults import sampling_of
from worker.engine import Delta, Engine, Request

TITLES: Mapping[str, Sequence[str]] = {
    "zh": ("月夜", "春望", "山居", "送友人", "秋思", "江雪", "登楼", "梅花", "边塞", "早行"),
    "en": (
        *("The Harbour", "First Snow", "The Old Mill", "A Winter Evening", "Night Voyage"),
        *("The Lost Garden", "Autumn Rain", "To a Lark", "The Silent Hill", "Morning"),
    ),
}
SECONDS = 3600.0


@dataclass(frozen=True)
class Shape:
    """A form as it is asked for, and how its pieces are checked."""

    form: Form
    asked: Asked
    check: Callable[[str], Verdict]
    language: str = "en"


def _chinese(form: Form, lines: int, characters: int, *, rhymed: bool = True) -> Shape:
    asked = Asked() if rhymed else Asked(rhyme="none")
    check = partial(check_chinese, lines=lines, characters=characters, rhymed=rhymed)
    return Shape(form, asked, check, "zh")


SHAPES: Mapping[str, Shape] = {
    "五绝": _chinese("五绝", 4, 5),
    "七绝": _chinese("七绝", 4, 7),
    "五律": _chinese("五律", 8, 5),
    "七律": _chinese("七律", 8, 7),
    "七绝 unrhymed": _chinese("七绝", 4, 7, rhymed=False),
    "12 lines": Shape("verse", Asked(12, 4), partial(check_english, lines=12, stanza=4)),
    "12 lines ABAB": Shape(
        "verse", Asked(12, 4, "ABAB"), partial(check_english, lines=12, stanza=4, scheme="ABAB")
    ),
    "8 lines of tetrameter AABB": Shape(
        "verse",
        Asked(8, 4, "AABB", "iambic tetrameter", 8),
        partial(check_english, lines=8, stanza=4, scheme="AABB", syllables=(8,)),
    ),
    "sonnet": Shape(
        "verse",
        Asked(14, None, "ABABCDCDEFEFGG", "iambic pentameter", 10),
        partial(check_english, lines=14, stanza=14, scheme="ABABCDCDEFEFGG", syllables=(10,)),
    ),
    "ballad XAXA": Shape(
        "verse",
        Asked(8, 4, "XAXA", "ballad meter", 8),
        partial(check_english, lines=8, stanza=4, scheme="XAXA", syllables=(8, 6)),
    ),
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.forms", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapes", nargs="*", metavar="FORM", help=f"of {', '.join(SHAPES)}; all if none is named")
    parser.add_argument("--pieces", type=int, default=500, help="of each form (500)")
    parser.add_argument("--checkpoint", default=str(REPOSITORY / "checkpoints/quire-verse"))
    parser.add_argument("--form", default=None, help="English pieces as this form's: poem for natural headers")
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print the first N pieces of each form")
    given = parser.parse_args(arguments)
    names = given.shapes or list(SHAPES)
    engine = Engine.load(given.checkpoint, slots=given.slots, device=given.device)
    constraints = Constraints(vocabulary_of(engine))
    own = Parameters.model_validate(sampling_of(given.checkpoint))
    engine.start()
    figures: list[Figure] = []
    try:
        for name in names:
            begun = time.perf_counter()
            pieces = drawn(engine, constraints, own, SHAPES[name], given.pieces, natural=given.form == "poem")
            figures += of(name, SHAPES[name], pieces, time.perf_counter() - begun, show=given.show)
    finally:
        engine.stop()
    report.show(figures)
    return 0


def drawn(
    engine: Engine, constraints: Constraints, parameters: Parameters, shape: Shape, count: int, *, natural: bool
) -> list[str]:
    """Draw pieces with seeds from 1 and titles by turns; English ones under a natural header if asked."""
    rules = rules_of(shape.form, shape.asked)
    if rules is None:
        raise ValueError(f"{shape.form} has no rules")
    titles = TITLES[shape.language]
    waiting = []
    for number in range(count):
        form: Form = "poem" if natural and shape.language == "en" else shape.form
        prompt = compose(form, title=titles[number % len(titles)], theme=None, meter=shape.asked.meter)
        ids = tuple(engine.tokenizer.encode(prompt))
        most = min(tokens_usual(rules), engine.context_length - len(ids))
        asked = parameters.model_copy(update={"max_tokens": most})
        parts: list[str] = []
        request = Request(
            ids,
            text.sampling(asked, seed=number + 1, draw=0),
            constraint=constraints.of(rules, most),
        )
        waiting.append((engine.submit(request, partial(_add, parts)), parts))
    for future, _ in waiting:
        future.result(SECONDS)
    return ["".join(parts) for _, parts in waiting]


def of(name: str, shape: Shape, pieces: Sequence[str], seconds: float, *, show: int) -> list[Figure]:
    """Check all pieces, print some, and return the shares that hold in %."""
    verdicts = [shape.check(piece) for piece in pieces]
    for piece in pieces[:show]:
        print(f"--- {name} ---\n{piece}\n", flush=True)
    wrong = next((piece for piece, verdict in zip(pieces, verdicts, strict=True) if not verdict.met), None)
    if wrong is not None:
        print(f"--- {name}: the first that fails ---\n{wrong}\n", flush=True)
    shares = {
        "met": [verdict.met for verdict in verdicts],
        "lines": [verdict.lines for verdict in verdicts],
        "lengths": [verdict.lengths for verdict in verdicts],
        "rhymes": [verdict.rhymes for verdict in verdicts if verdict.rhymes is not None],
    }
    figures = [
        Figure(f"{name}: {what}", 100 * sum(held) / len(held), "%") for what, held in shares.items() if held
    ]
    held = ", ".join(f"{figure.name.rpartition(': ')[2]} {figure.value:.1f} %" for figure in figures)
    print(f"{name}: {held} of {len(pieces)} pieces in {seconds:.0f} s", flush=True)
    return [*figures, Figure(f"{name}: pieces", len(pieces), f"in {seconds:.0f} s")]


def _add(parts: list[str], delta: Delta) -> None:
    parts.append(delta.text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
