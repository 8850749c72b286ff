"""From a drawn token to the one a sequence takes: banned strings, and what is reported of it."""

import math
from collections.abc import Callable, Iterable

from worker.engine.request import Delta, TokenLogprob
from worker.engine.sampler import Drawn
from worker.engine.sequence import RunningSequence
from worker.engine.tokenizer import Tokenizer

# How often a token is drawn again because it would write a banned string; then the text ends.
MOST_REDRAWS = 64


def advance(
    sequence: RunningSequence, drawn: Drawn, again: Callable[[tuple[int, ...]], Drawn], tokenizer: Tokenizer
) -> Delta:
    """Give `sequence` its next token and return what to deliver.

    A token that would complete a banned string across its border is masked and the row drawn `again`; those that
    hold one by themselves were never drawn. If no token is left, or after MOST_REDRAWS attempts, the text ends
    as if the model had ended it.
    Raises ArithmeticError if the model computed something that is not a number.
    """
    masked: tuple[int, ...] = ()
    while drawn.token is not None and sequence.would_write_banned(drawn.token):
        masked = (*masked, drawn.token)
        drawn = again(masked) if len(masked) <= MOST_REDRAWS else Drawn(None, drawn.logprob)
    if math.isnan(drawn.logprob):
        raise ArithmeticError("the model computed logits that are not numbers")
    if drawn.token is None:
        sequence.end("stop")
        return sequence.delta((), ())
    sequence.accept([drawn.token])
    sequence.record(drawn.logprob)
    return sequence.delta((drawn.token,), tuple(_reported(sequence, drawn.token, drawn, tokenizer)))


def _reported(sequence: RunningSequence, token: int, drawn: Drawn, tokenizer: Tokenizer) -> Iterable[TokenLogprob]:
    if sequence.sampling.logprobs is not None:
        top = tuple((tokenizer.token_text(other), value) for other, value in drawn.top)
        yield TokenLogprob(tokenizer.token_text(token), drawn.logprob, top)
