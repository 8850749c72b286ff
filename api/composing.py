"""From a checked request to the text that the model is given: prepared, composed, and fitted to its context."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from api.schemas import JobRequest
from api.tunes import ordered, tokens_of
from quire.errors import FieldProblem, InvalidField, PromptTooLong
from quire.forms import compose
from quire.preparation import DoesNotFit, Fitted, Spans, fit, prepare
from quire.spec import Change, Input, Spec

Side = Literal["start", "end"]


@dataclass(frozen=True)
class Limits:
    """What a model can take."""

    context_length: int  # tokens of prompt and piece together
    vocab_size: int


@dataclass(frozen=True)
class Composed:
    spec: Spec
    prompt_tokens: int


def composed(wanted: JobRequest, limits: Limits, spans: Spans) -> Composed:
    """Build the job's spec.

    Raises:
        InvalidField: `max_tokens` leaves no room for a prompt, `logit_bias` names a token that the model does
            not have, or the prompt holds nothing that the model knows.
        PromptTooLong: it does not fit, and may not be cut.

    """
    _check(wanted, limits)
    if wanted.kind == "music":
        return _tune(wanted, limits, spans)
    text = _Preparing()
    title, theme, style = text(wanted.title), text(wanted.theme), text(wanted.style)
    prompt = text(wanted.prompt)
    stop, banned = text.each("stop", wanted.stop), text.each("banned", wanted.banned)
    if wanted.form is not None:
        prompt = compose(wanted.form, title=title, theme=theme, style=style)
    fitted = _fitted(prompt or "", wanted, limits, spans)
    spec = Spec(
        input=Input(
            form=wanted.form,
            title=title,
            theme=theme,
            style=style,
            prompt=fitted.text,
            truncate=wanted.truncate,
            changes=text.told(truncated_tokens=fitted.cut),
        ),
        parameters=wanted.parameters().model_copy(update={"stop": stop, "banned": banned}),
    )
    return Composed(spec, fitted.tokens)


def _tune(wanted: JobRequest, limits: Limits, spans: Spans) -> Composed:
    text = _Preparing()
    tune = ordered(wanted, text(wanted.title), text(wanted.theme))
    tokens = len(spans(tune.prompt))
    most = tokens_of(tune, limits.context_length - tokens)
    spec = Spec(
        input=Input(
            title=tune.title,
            theme=wanted.theme,
            style=tune.music.style,
            prompt=tune.prompt,
            changes=text.told(),
        ),
        parameters=wanted.parameters().model_copy(update={"max_tokens": most}),
        music=tune.music,
    )
    return Composed(spec, tokens)


class _Preparing:
    """Prepares one text after the other and counts what that changed."""

    def __init__(self) -> None:
        self._changes: Counter[str] = Counter()

    def __call__(self, raw: str | None) -> str | None:
        if raw is None:
            return None
        prepared = prepare(raw)
        self._changes.update({change.what: change.count for change in prepared.changes})
        return prepared.text

    def told(self, **more: int) -> list[Change]:
        """Return all that was changed, and how often."""
        changes = self._changes + Counter(more)
        return [Change.model_validate({"what": what, "count": count}) for what, count in changes.items()]

    def each(self, field: str, strings: list[str]) -> list[str]:
        """Prepare strings that are looked for in the text: they would not be found in another form."""
        prepared = [self(string) or "" for string in strings]
        for index, string in enumerate(prepared):
            if not string:
                raise InvalidField.one(f"{field}.{index}", "Holds nothing but control characters")
        return prepared


def _check(wanted: JobRequest, limits: Limits) -> None:
    if wanted.kind == "text" and wanted.max_tokens >= limits.context_length:
        raise InvalidField.one(
            "max_tokens",
            f"Input should be less than the model's context of {limits.context_length} tokens, "
            "to leave room for the prompt",
        )
    for token in wanted.logit_bias:
        if int(token) >= limits.vocab_size:
            raise InvalidField.one(f"logit_bias.{token}", f"The model has {limits.vocab_size} tokens")


def _fitted(prompt: str, wanted: JobRequest, limits: Limits, spans: Spans) -> Fitted:
    room = limits.context_length - wanted.max_tokens
    field = "prompt" if wanted.form is None else "theme" if wanted.theme is not None else "title"
    try:
        fitted = fit(prompt, spans, room, wanted.truncate)
    except DoesNotFit as answer:
        message = (
            f"The prompt has {answer.tokens} tokens, {answer.excess} too many: the context of "
            f"{limits.context_length} less max_tokens of {wanted.max_tokens} leaves {room}"
        )
        raise PromptTooLong(f"{field}: {message}", fields=(FieldProblem(field, message),)) from None
    if fitted.tokens == 0:
        raise InvalidField.one(field, "Holds no token that this model knows")
    return fitted
