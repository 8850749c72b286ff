"""A book as far as it is written, and what comes next. A function of the plan, the seed and the tokens alone."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quire.longform import Plan, PlannedPart
from quire.pieces import Entry, Piece
from worker.creative.longform.composing import prompt
from worker.creative.longform.loops import Spans
from worker.creative.longform.sentences import completed, whole_words
from worker.creative.longform.tokens import Tokenizes
from worker.engine.detokenizer import Detokenizer, detokenizer


@dataclass(frozen=True)
class Window:
    """Tokens of one part that share a composed prompt.

    `start`: tokens of the part before it. `settled`: those of its own that may be written as they come; the ones
    behind decide where the part ends. `before`: tokens of the whole book; `spans`: those of them that may not come
    again; `drawn`: what of the window is written already.
    """

    part: int
    start: int
    prompt: tuple[int, ...]
    before: tuple[int, ...]
    spans: Spans | None
    drawn: tuple[int, ...]
    tokens: int
    settled: int
    seed: int
    last: bool


class Book:
    """Grows by windows; `context`: tokens that the model sees; `before`: of the book that it goes on with."""

    def __init__(
        self,
        plan: Plan,
        *,
        seed: int,
        context: int,
        tokenizer: Tokenizes,
        written: Sequence[Piece],
        before: Sequence[int] = (),
    ) -> None:
        self.plan = plan
        self._seed = seed
        self._before = list(before)
        self._room = context - plan.window - plan.ending
        self._tokenizer = tokenizer
        self._spans = Spans(plan.guard.no_repeat) if plan.guard.no_repeat else None
        pieces = {piece.index: piece for piece in written}
        self._parts = [Manuscript(pieces.get(index, Piece(index)), tokenizer) for index in range(len(plan.parts))]

    def next(self) -> Window | None:
        """Return the window to be written next; None if the book is done."""
        for index, part in enumerate(self._parts):
            if part.finish is None:
                return self._window(index, self.plan.parts[index], part.ids)
        return None

    def _window(self, index: int, part: PlannedPart, ids: Sequence[int]) -> Window:
        # One that is full begins the next, unless the part is to end in it.
        last_start = (self.plan.windows(part) - 1) * self.plan.window
        start = min(len(ids) - len(ids) % self.plan.window, last_start)
        last = start == last_start
        settled = part.tokens - start if last else self.plan.window
        before = (
            self._before + [token for earlier in self._parts[:index] for token in earlier.ids] + list(ids[:start])
        )
        if self._spans is not None:
            self._spans.extend(before[len(self._spans) :])
        return Window(
            part=index,
            start=start,
            prompt=prompt(self.plan, part, before, begins=start == 0, room=self._room, tokenizer=self._tokenizer),
            before=tuple(before),
            spans=self._spans,
            drawn=tuple(ids[start:]),
            tokens=settled + self.plan.ending if last else settled,
            settled=settled,
            seed=_seed(self._seed, index, start),
            last=last,
        )

    def write(self, window: Window, tokens: Sequence[int]) -> Entry:
        """Add tokens of a window that are settled, and return what the log gains."""
        return self._parts[window.part].write(tokens)

    def end(self, window: Window, tokens: Sequence[int]) -> Entry:
        """End the window's part with the tokens that were drawn beyond its length, as many as its end takes."""
        return self._parts[window.part].end(tokens, verse=self.plan.verse)

    @property
    def text(self) -> Mapping[int, str]:
        """The text of each part that has begun."""
        return {index: part.text for index, part in enumerate(self._parts) if part.ids}


class Manuscript:
    """One part: its tokens as they were drawn, and the text that they settle."""

    def __init__(self, piece: Piece, tokenizer: Tokenizes) -> None:
        self.index = piece.index
        self.ids = list(piece.ids)
        self.finish = piece.finish
        self.text = piece.text
        self._detokenizer: Detokenizer = detokenizer(tokenizer, ())
        self._detokenizer.push(self.ids)

    def write(self, tokens: Sequence[int]) -> Entry:
        text = self._detokenizer.push(tokens)
        self.ids += tokens
        self.text += text
        return Entry(self.index, tuple(tokens), text)

    def end(self, tokens: Sequence[int], *, verse: bool) -> Entry:
        """Add as many tokens as it takes to end with a sentence or a line; else with a whole word."""
        begun = len(self.text)
        grown, lengths = self.text, []
        for token in tokens:
            grown += self._detokenizer.push([token])
            lengths.append(len(grown))
        cut = completed(grown, begun, earliest=begun, verse=verse)
        self.finish = "length" if cut is None else "stop"
        if cut is None:
            cut = whole_words(grown, begun)
        kept = next((count for count, length in enumerate([begun, *lengths]) if length >= cut), len(tokens))
        self.ids += tokens[:kept]
        self.text = grown[:cut]
        return Entry(self.index, tuple(tokens[:kept]), grown[begun:cut], self.finish)


def _seed(seed: int, part: int, start: int) -> int:
    """Return the seed of a window: the draws of a request count from its own beginning."""
    digest = hashlib.sha256(f"{seed}:{part}:{start}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11
