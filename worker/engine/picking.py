"""From a drawn token to the one a sequence takes: banned strings, and what is reported of it."""

import math
from collections.abc import Iterable, Sequence

from torch import Tensor

from worker.engine.gpt2 import Gpt2
from worker.engine.request import Delta, TokenLogprob
from worker.engine.sampler import Drawn, Row, draw, logprobs_of
from worker.engine.sequence import RunningSequence
from worker.engine.tokenizer import Tokenizer

# How often a token is drawn again because it would write a banned string; then the text ends.
MOST_REDRAWS = 64
# Logits of a resumed text are computed in pieces of so many rows, to bound their memory.
_LOGIT_ROWS = 64


def row_of(sequence: RunningSequence, masked: tuple[int, ...] = ()) -> Row:
    return Row(sequence.sampling, sequence.ids, len(sequence.request.prompt), masked, sequence.never)


def advance(sequence: RunningSequence, logits: Tensor, drawn: Drawn, tokenizer: Tokenizer) -> Delta:
    """Give `sequence` its next token and return what to deliver. `logits` (vocabulary,) are its own.

    A token that would complete a banned string across its border is masked and the row drawn again; those that
    hold one by themselves were never drawn. If no token is left, or after MOST_REDRAWS attempts, the text ends
    as if the model had ended it.
    Raises ArithmeticError if the model computed something that is not a number.
    """
    masked: tuple[int, ...] = ()
    while drawn.token is not None and sequence.would_write_banned(drawn.token):
        masked = (*masked, drawn.token)
        if len(masked) > MOST_REDRAWS:
            drawn = Drawn(None, drawn.logprob)
        else:
            [drawn] = draw(logits[None], [row_of(sequence, masked)], tokenizer.end_ids)
    if math.isnan(drawn.logprob):
        raise ArithmeticError("the model computed logits that are not numbers")
    if drawn.token is None:
        sequence.end("stop")
        return sequence.delta((), ())
    sequence.accept(drawn.token)
    sequence.record([drawn.logprob])
    return sequence.delta((drawn.token,), tuple(_reported(sequence, drawn.token, drawn, tokenizer)))


def resumed_logprobs(model: Gpt2, hidden: Tensor, tokens: Sequence[int]) -> list[float]:
    """Return the log-probabilities of `tokens`, drawn from the last hidden states `hidden` (tokens, width)."""
    values: list[float] = []
    for start in range(0, len(tokens), _LOGIT_ROWS):
        piece = slice(start, start + _LOGIT_ROWS)
        values += logprobs_of(model.logits(hidden[piece]), tokens[piece])
    return values


def _reported(sequence: RunningSequence, token: int, drawn: Drawn, tokenizer: Tokenizer) -> Iterable[TokenLogprob]:
    if sequence.sampling.logprobs is not None:
        top = tuple((tokenizer.token_text(other), value) for other, value in drawn.top)
        yield TokenLogprob(tokenizer.token_text(token), drawn.logprob, top)
