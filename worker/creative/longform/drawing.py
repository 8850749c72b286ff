"""From a window to what the engine is asked for."""

from quire.longform import PlannedPart
from quire.spec import Parameters
from worker.creative import text
from worker.creative.longform.book import Window
from worker.engine import Request, Sampling

OWN = ("temperature", "top_k", "top_p", "min_p")  # what a part may have for itself


def request(
    window: Window, part: PlannedPart, parameters: Parameters, *, scope: str, deadline: float | None
) -> Request:
    """Return the request of a window, resumed behind what is drawn of it."""
    own = {
        name: value
        for name in ("temperature", "top_k", "top_p", "min_p")
        if (value := getattr(part, name)) is not None
    }
    # No end of text before the last token: a part ends where the plan has it end.
    most = {"max_tokens": window.tokens, "min_tokens": window.tokens}
    sampling: Sampling = text.sampling(parameters.model_copy(update=own | most), seed=window.seed, draw=0)
    return Request(window.prompt, sampling, generated=window.drawn, scope=scope, deadline=deadline)
