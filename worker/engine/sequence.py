import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from worker.engine.detokenizer import detokenizer
from worker.engine.request import Delta, Finished, Reason, Request, TokenLogprob
from worker.engine.sampler import Row
from worker.engine.stops import first_match, held_back
from worker.engine.tokenizer import Tokenizer


class RunningSequence:
    """One text while it waits and runs: its tokens, its text, and whether it has ended.

    The resumed tokens are replayed at once, through the same code as new ones; `reason` is set if they
    already hold the end. `length`: how many tokens there are, those under way included where the next can be
    computed without knowing them. `over`: nobody waits for it any more.

    A text whose next token depends on nothing but its ids is `plain`: its tokens may be noted as they are drawn
    and taken in later, several at once, which costs the host a tenth for each.
    """

    def __init__(
        self, request: Request, tokenizer: Tokenizer, future: Future[Finished], on_delta: Callable[[Delta], None]
    ) -> None:
        self.request = request
        self.sampling = request.sampling
        self.future = future
        self.on_delta = on_delta
        self.reason: Reason | None = None
        self.ids: list[int] = list(request.prompt)
        self.prompt_length = len(request.prompt)
        self.scope = request.scope
        self.most_tokens = len(request.prompt) + request.sampling.max_tokens
        self.constraint = request.constraint() if request.constraint else None
        self.deadline = math.inf if request.deadline is None else request.deadline
        self.over = False
        sampling = self.sampling
        self.goes_on_blind = not (request.constraint or sampling.banned)
        self.plain = self.goes_on_blind and not sampling.stop and sampling.logprobs is None
        # Looked up here, on the caller's thread, because it reads the whole vocabulary.
        self.never = tokenizer.holding(sampling.banned) if sampling.banned else None
        self._end_ids = tokenizer.end_ids
        self._detokenizer = detokenizer(tokenizer, request.prompt)
        self._logprobs: list[float] = []
        self.kept: list[int] = []  # noted and not taken in
        self._text = ""
        self._cut: int | None = None
        self._delivered = request.published
        for token in request.generated:
            if self.reason is None:
                self.accept([token])
        self.length = len(self.ids)
        self._row = Row(sampling, self.ids, self.prompt_length, self.length)
        self._room = sampling.max_tokens - self.position  # tokens that may still be drawn and noted

    @property
    def position(self) -> int:
        """How many tokens have been generated: the position of the next draw."""
        return len(self.ids) - self.prompt_length

    def row(self, slot: int, allowed: NDArray[np.bool_] | None = None) -> Row:
        """Return what the draw of the next token depends on, from `slot`."""
        if self.plain:
            row = self._row  # changed in place: by the next draw nobody asks for it
            row.length, row.slot = self.length, slot
            return row
        return Row(self.sampling, self.ids, self.prompt_length, self.length, slot, (), self.never, allowed)

    def note(self, token: int, logprob: float) -> bool:
        """Keep a drawn token of a plain text for later; return whether it ends the text."""
        self.kept.append(token)
        self._logprobs.append(logprob)
        self._room -= 1
        return not self._room or token in self._end_ids

    def take_in(self) -> Delta:
        """Accept what is kept, and return what is to be delivered of it."""
        noted, self.kept = self.kept, []
        self.accept(noted)
        return self.delta(tuple(noted), ())

    def accept(self, tokens: Sequence[int]) -> None:
        """Append drawn tokens, of which only the last may end the text; sets `reason` if it does.

        Several at once only if the text is plain.
        """
        if not tokens:
            return
        self.ids += tokens
        if self.constraint:
            self.constraint.accept(tokens[0])
        if not self.goes_on_blind:
            self.length = len(self.ids)
        if tokens[-1] in self._end_ids:
            self._extend(self._detokenizer.push(tokens[:-1]))
            self.end("stop")
            return
        self._extend(self._detokenizer.push(tokens))
        if self.reason is None and self.position >= self.sampling.max_tokens:
            self.end("length")

    def end(self, reason: Reason) -> None:
        """End the text here; nothing is held back any more."""
        self._extend(self._detokenizer.flush())
        self.reason = self.reason or reason

    def record(self, logprob: float) -> None:
        """Note the model's log-probability of the token accepted last."""
        self._logprobs.append(logprob)

    def would_write_banned(self, token: int) -> bool:
        """Whether `token` would complete a banned string in the generated text."""
        if not self.sampling.banned or token in self._end_ids:
            return False
        text = self._text + self._detokenizer.peek(token)
        return first_match(text, self.sampling.banned, ending_after=len(self._text)) is not None

    def delta(self, tokens: tuple[int, ...], logprobs: tuple[TokenLogprob, ...]) -> Delta:
        """Return what is to be delivered now; its text is not returned a second time."""
        start, self._delivered = self._delivered, max(self._delivered, self._deliverable())
        return Delta(tokens=tokens, text=self._text[start : self._delivered], logprobs=logprobs)

    def finished(self) -> Finished:
        """Return the result; only for a sequence that has ended."""
        if self.reason is None:
            raise RuntimeError("the sequence has not ended")
        mean = math.fsum(self._logprobs) / len(self._logprobs) if self._logprobs else 0.0
        return Finished(reason=self.reason, mean_logprob=mean, tokens=self.position)

    def _extend(self, text: str) -> None:
        before = len(self._text)
        self._text += text
        if self.position < self.sampling.min_tokens:
            return
        start = first_match(self._text, self.sampling.stop, ending_after=before)
        if start is not None:
            self._cut = start
            self.reason = "stop"

    def _deliverable(self) -> int:
        """Return how many characters of the text are certain to belong to it."""
        if self._cut is not None:
            return self._cut
        if self.reason is not None:
            return len(self._text)
        return len(self._text) - held_back(self._text, self.sampling.stop)
