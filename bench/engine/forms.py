"""What forms that hold cost: the step of 64 requests held to a form, beside the same step of free ones.

The model's own tokens mean nothing, so the constraints are given made-up ones of the kind that a bilingual model
learns. Its weights are random: what is drawn jumps from word to word, and hardly any mask can be used twice.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

from bench.engine import work
from bench.engine.checkpoint import made
from bench.engine.driver import Peer, ours, say
from bench.engine.growth import median_step
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.engine.work import Job
from bench.report import Figure
from quire.forms import Asked, rules_of, tokens_usual
from quire.rules import Rules
from worker.creative.constrained.hanzi import characters
from worker.creative.constrained.lexicon import lexicon
from worker.creative.constrained.making import Constraints
from worker.creative.constrained.vocabulary import Vocabulary
from worker.engine import MakeConstraint

FREE = "free"
REGULATED, SONNET, LINES = "七律", "sonnet", "lines"
FORMS: Mapping[str, Rules | None] = {
    REGULATED: rules_of("七律", Asked()),
    SONNET: rules_of("verse", Asked(lines=14, rhyme="ABABCDCDEFEFGG", syllables=10)),
    LINES: rules_of("verse", Asked(lines=16, stanza=4)),
}
NAMES: Mapping[str, str] = {REGULATED: "regulated", SONNET: "sonnet", LINES: "lines"}


def measure(options: Options) -> Measured:
    """Run free requests and those of each form by turns."""
    folder = made(options)
    figures: list[Figure] = []
    for precision in options.precisions:
        with ours(options, folder, precision) as engine:
            steps = _rounds(options, engine, precision)
        free = statistics.median(steps[FREE])
        figures.append(Figure(figure_of(precision, FREE), free, "ms"))
        for form, name in NAMES.items():
            # Each beside the free run of its own round, which the machine's moods have met as well.
            ratio = statistics.median(alone / held for alone, held in zip(steps[FREE], steps[form], strict=True))
            held = statistics.median(steps[form])
            figures.append(Figure(figure_of(precision, name), held, "ms", FREE, ratio))
    return Measured(figures)


def figure_of(precision: str, name: str) -> str:
    return f"cpu_{precision}_{name}_form_step"


def constraint_of(form: str, vocabulary: int) -> MakeConstraint:
    """Return what makes the constraint of one of FORMS for a model of so many tokens."""
    rules = FORMS[form]
    if rules is None:
        raise ValueError(f"{form} has no rules")
    return _constraints(vocabulary).of(rules, tokens_usual(rules))


@cache
def _constraints(vocabulary: int) -> Constraints:
    return Constraints(Vocabulary(list(_tokens(vocabulary)), size=vocabulary, end_ids=frozenset({vocabulary - 1})))


def _tokens(vocabulary: int) -> Iterator[bytes]:
    """Yield bytes, characters and pairs of them, and words, of which most are behind a blank; the end is empty."""
    hanzi, words = characters().texts, lexicon().words
    single = [bytes([value]) for value in range(256)]
    pairs = (first + second for first, second in pairwise(hanzi))
    known = [word for word, ends in zip(words, lexicon().ends, strict=True) if ends]
    parts = sorted({word[:length] for word in known for length in (1, 2, 3)})
    english = [*parts, *(b" " + part for part in parts), *(part.capitalize() for part in parts)]
    every = [*single, *hanzi, *english, *(b" " + word for word in known), *pairs]
    chosen = list(dict.fromkeys(every))[: vocabulary - 1]
    yield from chosen
    yield from [b""] * (vocabulary - len(chosen))


def _rounds(options: Options, engine: Peer, precision: str) -> dict[str, list[float]]:
    """Return the median milliseconds of a step, of each kind and round."""
    steps: dict[str, list[float]] = {FREE: [], **{form: [] for form in FORMS}}
    for number in range(options.forms_rounds + 1):
        for form, of_form in steps.items():
            milliseconds = median_step(engine, _jobs(options, form, f"forms {number}"))
            if number:  # the first round warms up
                of_form.append(milliseconds)
                say(f"round {number}: {precision} {form:8} {milliseconds:8.2f} ms a step")
    return steps


def _jobs(options: Options, form: str, seed: str) -> Sequence[Job]:
    jobs = work.equal(
        options.forms_batch,
        prompt=options.prompt,
        new_tokens=options.forms_tokens,
        vocabulary=options.vocabulary,
        seed=seed,
    )
    return jobs if form == FREE else [replace(job, form=form) for job in jobs]
