"""The values that pass between the engine and its callers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from worker.engine.constraint import MakeConstraint

Reason = Literal["stop", "length"]

MOST_LOGPROBS = 5


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. ValueError names a value out of range.

    A draw depends on (seed, sample, position, retry) alone, where position counts the generated tokens from
    0: a caller that makes several requests of one text gives each its own seed.
    temperature 0 is greedy, as is any below 0.001; top_k 0, top_p 1 and min_p 0 filter nothing;
    repetition_penalty 1 and the other penalties 0 change nothing. logit_bias is added to the logits of token ids.
    Stop and end-of-text do not count before `min_tokens`. `logprobs`: how many alternatives to report, 0 to 5.
    """

    seed: int
    sample: int = 0
    retry: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    min_tokens: int = 0
    max_tokens: int = 128
    stop: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        _require(self.sample >= 0 and self.retry >= 0, "sample and retry must not be negative")
        _require(0 <= self.temperature <= 100, "temperature must be between 0 and 100")
        _require(self.top_k >= 0, "top_k must not be negative")
        _require(0 < self.top_p <= 1, "top_p must be above 0 and at most 1")
        _require(0 <= self.min_p <= 1, "min_p must be between 0 and 1")
        _require(0.01 <= self.repetition_penalty <= 100, "repetition_penalty must be between 0.01 and 100")
        _require(-100 <= self.presence_penalty <= 100, "presence_penalty must be between -100 and 100")
        _require(-100 <= self.frequency_penalty <= 100, "frequency_penalty must be between -100 and 100")
        _require(all(-100 <= b <= 100 for b in self.logit_bias.values()), "logit_bias must be within ±100")
        _require(self.max_tokens >= 1, "max_tokens must be at least 1")
        _require(0 <= self.min_tokens <= self.max_tokens, "min_tokens must be between 0 and max_tokens")
        _require(all(self.stop) and all(self.banned), "stop and banned strings must not be empty")
        _require(
            self.logprobs is None or 0 <= self.logprobs <= MOST_LOGPROBS,
            f"logprobs must be between 0 and {MOST_LOGPROBS}",
        )


@dataclass(frozen=True, slots=True)
class Request:
    """A text to continue.

    `generated`: the token ids drawn before a crash, drain or move; the text goes on exactly from there.
    `published`: how many characters of their text were delivered; what comes after is delivered again.
    `scope`: only texts of one scope share the memory of equal beginnings, so that nobody can tell from the time
    a prompt takes whether somebody else has sent it.
    `constraint`: makes the state machine that says which tokens may come next.
    `deadline`: when the text ends unfinished, in seconds of `time.monotonic()`.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    generated: tuple[int, ...] = ()
    published: int = 0
    scope: str = ""
    constraint: MakeConstraint | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A drawn token's log-probability in the model itself (before any filter), and the best alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """What one step adds: the drawn tokens and the text that became certain.

    An end-of-text token is among `tokens` (the log of tokens must show that the text ended) but has no text.
    `text` may be '' while a character or a possible stop string is held back. `logprobs` has one entry for
    each of `tokens` if they were asked for, else none.
    """

    tokens: tuple[int, ...]
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """How a text ended: 'stop' (end of text, or a stop string) or 'length' (max_tokens).

    `tokens`: how many there are, resumed ones included. `mean_logprob`: mean log-probability in the model
    itself of the tokens that this request drew; 0 if it drew none.
    """

    reason: Reason
    mean_logprob: float
    tokens: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counts since the start, and the present load. Tokens reserved never exceed the budget.

    `tokens_shared`: found in memory instead of computed. `prefill_seconds`, `decode_seconds`: time of the steps,
    shared out by the rows that each kind had in them. `evictions`: how often a running text was put back.
    """

    steps: int
    tokens_decoded: int
    tokens_prefilled: int
    tokens_shared: int
    prefill_seconds: float
    decode_seconds: float
    evictions: int
    running: int
    waiting: int
    tokens_reserved: int
    token_budget: int


def check_request(request: Request, *, vocabulary: int, context: int, token_budget: int) -> None:
    """Raise ValueError, naming the fault, if `request` could not run on such an engine."""
    _require(bool(request.prompt), "the prompt is empty")
    _require(request.published >= 0, "published must not be negative")
    ids = (*request.prompt, *request.generated, *request.sampling.logit_bias)
    _require(min(ids) >= 0 and max(ids) < vocabulary, f"token ids must be below {vocabulary}")
    tokens, most = len(request.prompt), request.sampling.max_tokens
    _require(
        tokens + most <= context,
        f"the prompt of {tokens} tokens and max_tokens of {most} exceed the context of {context}",
    )
    _require(
        tokens + most <= token_budget,
        f"the prompt of {tokens} tokens and max_tokens of {most} exceed the engine's budget of {token_budget}",
    )
    _require(len(request.generated) <= most, f"more than max_tokens of {most} are generated already")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
