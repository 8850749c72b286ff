"""Text jobs: which sequences to run for one, and which of them to deliver."""

from collections.abc import Iterable, Mapping, Sequence

from quire.pieces import Entry, Logprobs, Piece
from quire.spec import Parameters
from worker.engine import Delta, MakeConstraint, Request, Sampling, TokenLogprob


def keeps_all(parameters: Parameters) -> bool:
    """Whether every draw is delivered, so that its text may be logged as it grows."""
    return parameters.draws == parameters.n


def requests(
    parameters: Parameters,
    *,
    seed: int,
    prompt: Sequence[int],
    written: Iterable[Piece],
    scope: str = "",
    deadline: float | None = None,
    constraint: MakeConstraint | None = None,
) -> dict[int, Request]:
    """Return the sequence of each draw that is not finished, resumed where an earlier run stopped.

    `scope`: whose memory of equal prompts they share. `deadline`: in seconds of `time.monotonic()`. `constraint`:
    what each is held to.
    """
    pieces = {piece.index: piece for piece in written}
    plan = {}
    for draw in range(parameters.draws):
        piece = pieces.get(draw, Piece(draw))
        if piece.finish is None:
            plan[draw] = Request(
                prompt=tuple(prompt),
                sampling=sampling(parameters, seed=seed, draw=draw),
                generated=piece.ids,
                published=len(piece.text),
                scope=scope,
                deadline=deadline,
                constraint=constraint,
            )
    return plan


def sampling(parameters: Parameters, *, seed: int, draw: int, retry: int = 0) -> Sampling:
    return Sampling(
        seed=seed,
        sample=draw,
        retry=retry,
        temperature=parameters.temperature,
        top_k=parameters.top_k,
        top_p=parameters.top_p,
        min_p=parameters.min_p,
        repetition_penalty=parameters.repetition_penalty,
        presence_penalty=parameters.presence_penalty,
        frequency_penalty=parameters.frequency_penalty,
        logit_bias={int(token): bias for token, bias in parameters.logit_bias.items()},
        min_tokens=parameters.min_tokens,
        max_tokens=parameters.max_tokens,
        stop=tuple(parameters.stop),
        banned=tuple(parameters.banned),
        logprobs=parameters.logprobs,
    )


def entry(piece: int, delta: Delta) -> Entry:
    """Return what one step of the engine adds to a piece."""
    return Entry(piece, delta.tokens, delta.text, logprobs=_logprobs(delta.logprobs))


def best(draws: Mapping[int, Piece], scores: Mapping[int, float], n: int) -> list[Piece]:
    """Return the n draws with the best mean log-probability, best first; of equals the earlier draw."""
    ranked = sorted(draws, key=lambda draw: (-scores[draw], draw))[:n]
    return [
        Piece(rank, draws[draw].ids, draws[draw].text, draws[draw].finish, draws[draw].logprobs)
        for rank, draw in enumerate(ranked)
    ]


def _logprobs(tokens: Sequence[TokenLogprob]) -> Logprobs | None:
    if not tokens:
        return None
    return Logprobs(
        [token.token for token in tokens],
        [token.logprob for token in tokens],
        [dict(token.top) for token in tokens],
    )
