"""From a window to what the engine is asked for."""

from functools import partial

from quire.longform import Guard, PlannedPart
from quire.spec import Parameters
from worker.creative import text
from worker.creative.longform.book import Window
from worker.creative.longform.loops import NoRepeat, decayed
from worker.engine import Request

OWN = ("temperature", "top_k", "top_p", "min_p")  # what a part may have for itself


def requests(
    window: Window,
    part: PlannedPart,
    parameters: Parameters,
    guard: Guard,
    *,
    vocabulary: int,
    retry: int = 0,
    scope: str = "",
    deadline: float | None = None,
) -> dict[int, Request]:
    """Return the requests of a window's draws, resumed behind what is drawn of it; they share their prompt."""
    own = {name: value for name in OWN if (value := getattr(part, name)) is not None}
    bias = decayed(window.before, guard.penalty, guard.half_life)
    asked = {str(token): value for token, value in bias.items()} | dict(parameters.logit_bias)
    # No end of text before the last token: a part ends where the plan has it end.
    most = {"max_tokens": window.tokens, "min_tokens": window.tokens, "logit_bias": asked}
    drawn = parameters.model_copy(update=own | most)
    return {
        draw: Request(
            window.prompt,
            text.sampling(drawn, seed=window.seed, draw=draw, retry=retry),
            generated=window.drawn,
            scope=scope,
            deadline=deadline,
            constraint=None if window.spans is None else partial(NoRepeat, window.spans, vocabulary),
        )
        for draw in range(guard.draws)
    }
