"""How many tunes are what was asked for: `python -m bench.tunes --model checkpoints/quire-tunes`.

Each is drawn once, as the checkpoint has it and with the seeds from 1, and looked at by the check before delivery;
none is drawn anew. Styles come in turn, each in all its meters, and keys in all modes.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from quire.music import budget
from quire.music.grammar import Form
from quire.music.styles import STYLES
from quire.spec import Music, Parameters
from worker.creative import music
from worker.creative.abc import document, wanted
from worker.creative.checking import faults
from worker.creative.tunes import TuneConstraint, Vocabulary
from worker.defaults import sampling_of
from worker.engine import Delta, Engine, Finished, Request

KEYS = ("G major", "D major", "A major", "E minor", "A dorian", "D mixolydian", "C major", "F major", "B minor")
BARS = (16, 16, 8, 32)
SLOTS = 32


@dataclass
class Drawn:
    """One tune while it is drawn."""

    asked: Music
    text: list[str] = field(default_factory=list)
    tokens: int = 0

    def take(self, delta: Delta) -> None:
        self.text.append(delta.text)
        self.tokens += len(delta.tokens)


@dataclass
class Clock:
    """Seconds that the constraints took, by call."""

    seconds: list[float] = field(default_factory=list)

    def watch(self, constraint: TuneConstraint) -> TuneConstraint:
        allowed = constraint.allowed

        def timed() -> object:
            began = time.perf_counter()
            mask = allowed()
            self.seconds.append(time.perf_counter() - began)
            return mask

        constraint.allowed = timed  # type: ignore[method-assign, assignment]
        return constraint


def asked() -> Iterator[Music]:
    """Yield what is asked for, without end."""
    forms = [(style, meter) for style in STYLES.values() for meter in style.meters]
    for (style, meter), key, bars in zip(cycle(forms), cycle(KEYS), cycle(BARS), strict=False):
        yield Music(
            style=style.name, meter=str(meter), key=key, tempo=style.tempo, bars=bars, accidentals=False,
            opening=None, instrument="fiddle", artifacts=["abc"],
        )  # fmt: skip


def request(
    engine: Engine, vocabulary: Vocabulary, own: Parameters, tune: Music, seed: int, clock: Clock
) -> Request:
    form: Form = music.form_of(tune)
    prompt = engine.tokenizer.encode(f"<{tune.style}><{tune.meter}><{tune.key}>\n")
    most = min(budget.roomy(form), engine.context_length - len(prompt))
    plan = music.requests(
        tune,
        own.model_copy(update={"max_tokens": most}),
        [0],
        vocabulary=vocabulary,
        seed=seed,
        retry=0,
        prompt=prompt,
    )
    make = plan[0].constraint
    if make is None:
        raise ValueError("the tune is held to nothing")
    return Request(plan[0].prompt, plan[0].sampling, constraint=lambda: clock.watch(make()))  # type: ignore[arg-type]


def measure(model: str, tunes: int) -> dict[str, object]:
    engine = Engine.load(model, slots=SLOTS)
    vocabulary = Vocabulary(engine.tokenizer.texts, size=engine.vocab_size, end_ids=engine.tokenizer.end_ids)
    own = Parameters.model_validate(sampling_of(model))
    clock = Clock()
    engine.start()
    began = time.perf_counter()
    running: list[tuple[Drawn, Future[Finished]]] = []
    for seed, tune in enumerate(islice(asked(), tunes), start=1):
        drawn = Drawn(tune)
        running.append((drawn, engine.submit(request(engine, vocabulary, own, tune, seed, clock), drawn.take)))
    ends = Counter(future.result().reason for _, future in running)
    seconds = time.perf_counter() - began
    stats = engine.stats()
    engine.stop()
    found = [faults(document(drawn.asked, None, "".join(drawn.text)), wanted(drawn.asked)) for drawn, _ in running]
    kinds = Counter({fault.split(":")[0] for fault in each}.pop() for each in found if each)
    tokens = sum(drawn.tokens for drawn, _ in running)
    calls = sorted(clock.seconds)
    return {
        "model": model, "numerics": engine.numerics, "tunes": tunes, "ended": dict(ends),
        "right": sum(not each for each in found), "faults": dict(kinds),
        "parsed_by_symusic": sum(not any(fault.startswith("unreadable") for fault in each) for each in found),
        "bars_right": sum(not any(fault.startswith("bars") for fault in each) for each in found),
        "key_right": sum(not any(fault.startswith("key") for fault in each) for each in found),
        "meter_right": sum(not any(fault.startswith("meter") for fault in each) for each in found),
        "tokens": tokens, "tokens_a_bar": round(tokens / sum(drawn.asked.bars for drawn, _ in running), 2),
        "seconds": round(seconds, 1), "tokens_a_second": round(tokens / seconds),
        "constraint_microseconds": {
            "mean": round(1e6 * sum(calls) / len(calls), 1), "median": round(1e6 * calls[len(calls) // 2], 1),
            "p99": round(1e6 * calls[len(calls) * 99 // 100], 1),
        },
        "share_of_decoding": round(sum(calls) / max(stats.decode_seconds, 1e-9), 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="checkpoints/quire-tunes")
    parser.add_argument("--tunes", type=int, default=500)
    parser.add_argument("--write", type=Path, metavar="FILE", help="the figures as JSON")
    options = parser.parse_args()
    figures = json.dumps(measure(options.model, options.tunes), indent=1)
    print(figures)
    if options.write:
        options.write.write_text(figures + "\n")


if __name__ == "__main__":
    main()
