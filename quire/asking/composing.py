"""From a checked request to the text that the model is given: prepared, composed, and fitted to its context."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from quire import fairness
from quire.asking.books import BookRequest, Earlier, planned
from quire.asking.request import JobRequest
from quire.asking.tunes import ordered, tokens_of
from quire.errors import FieldProblem, InvalidField, PromptTooLong
from quire.forms import TAGS, compose, knows, letters_of, tokens_needed, tokens_usual
from quire.longform import beginning, opening
from quire.preparation import DoesNotFit, Fitted, Spans, fit, prepare
from quire.rules import Rules
from quire.spec import Change, Input, Spec


@dataclass(frozen=True)
class Limits:
    """What a model can take."""

    context_length: int  # tokens of prompt and piece together
    vocab_size: int


@dataclass(frozen=True)
class Composed:
    spec: Spec
    prompt_tokens: int

    @property
    def estimate(self) -> int:
        """Work in tokens of the job; of a book, of one draw of a window.

        A book is charged as it goes, for all draws. This is what it is charged first, and the slice that it
        reserves ahead, for one draw is billed.
        """
        parameters, plan = self.spec.parameters, self.spec.longform
        if plan is not None:
            return fairness.estimate(self.prompt_tokens, plan.window + plan.ending, 1)
        return fairness.estimate(self.prompt_tokens, parameters.max_tokens, parameters.draws)

    @property
    def max_tokens(self) -> int:
        return self.spec.parameters.max_tokens


def composed(
    wanted: JobRequest,
    limits: Limits,
    spans: Spans,
    *,
    can_write: Callable[[str], bool],
    earlier: Earlier | None = None,
) -> Composed:
    """Build the job's spec. `can_write`: whether the model's tokens write a text to the letter.

    `earlier`: the book that this one goes on with.

    Raises:
        InvalidField: `max_tokens` leaves no room for a prompt or is too little for the form, the model cannot
            write the form or its context is too short for it, `logit_bias` names a token that the model does not
            have, or the prompt holds nothing that the model knows.
        PromptTooLong: it does not fit, and may not be cut.

    """
    _check(wanted, limits)
    if wanted.kind == "music":
        return _tune(wanted, limits, spans)
    if wanted.longform is not None:
        return _book(wanted, wanted.longform, limits, spans, earlier)
    text = _Preparing()
    title, theme, style = text(wanted.title), text(wanted.theme), text(wanted.style)
    prompt = text(wanted.prompt)
    stop, banned = text.each("stop", wanted.stop), text.each("banned", wanted.banned)
    if wanted.form is not None:
        prompt = compose(
            wanted.form,
            title=title,
            theme=theme,
            style=style,
            meter=wanted.meter,
            tagged=knows(spans, TAGS["verse"]),
        )
    rules = wanted.rules()
    if rules and not can_write(letters_of(rules)):
        raise InvalidField.one("form", f"{wanted.form} cannot be written with the tokens of this model")
    max_tokens = _enough(rules, wanted, limits, len(spans(prompt or ""))) if rules else wanted.max_tokens
    fitted = _fitted(prompt or "", wanted, max_tokens, limits, spans)
    spec = Spec(
        input=Input(
            form=wanted.form,
            title=title,
            theme=theme,
            style=style,
            rules=rules,
            prompt=fitted.text,
            truncate=wanted.truncate,
            changes=text.told(truncated_tokens=fitted.cut),
        ),
        parameters=wanted.parameters(stop=stop, banned=banned, max_tokens=max_tokens),
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
        parameters=wanted.parameters(max_tokens=most),
        music=tune.music,
    )
    return Composed(spec, tokens)


def _book(
    wanted: JobRequest, asked: BookRequest, limits: Limits, spans: Spans, earlier: Earlier | None
) -> Composed:
    plan = planned(asked, limits.context_length, spans, earlier.plan if earlier else None)
    first = opening(plan) + beginning(plan, plan.parts[0])
    spec = Spec(
        input=Input(title=plan.title, theme=plan.premise, style=plan.style, prompt=first),
        parameters=wanted.parameters(max_tokens=plan.most_tokens),
        longform=plan,
        continues=earlier.id if earlier else None,
        before=earlier.tokens if earlier else (),
    )
    return Composed(spec, len(spans(first)))


class _Preparing:
    """Prepares one text after the other and counts what that changed."""

    def __init__(self) -> None:
        self._changes: Counter[str] = Counter()

    def __call__(self, raw: str | None) -> str | None:
        if raw is None:
            return None
        prepared = prepare(raw)
        for change in prepared.changes:
            self._changes[change.what] += change.count
        return prepared.text

    def told(self, **more: int) -> list[Change]:
        """Return all that was changed, and how often."""
        changes = {what: count for what, count in (self._changes | more).items() if count}
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


def _enough(rules: Rules, wanted: JobRequest, limits: Limits, prompt_tokens: int) -> int:
    """Return how many new tokens a piece may have: as asked, or as many as are usual and have room."""
    needed = tokens_needed(rules)
    room = limits.context_length - prompt_tokens
    if "max_tokens" in wanted.model_fields_set:
        if wanted.max_tokens < needed:
            message = f"{rules.lines} lines of this form need at least {needed}"
            raise InvalidField.one("max_tokens", message)
        return wanted.max_tokens
    if needed > room:
        message = (
            f"{rules.lines} lines need {needed} tokens beside the prompt's {prompt_tokens}, more than the model's "
            f"context of {limits.context_length}"
        )
        raise InvalidField.one("form" if wanted.lines is None else "lines", message)
    return max(needed, min(tokens_usual(rules), room))


def _fitted(prompt: str, wanted: JobRequest, max_tokens: int, limits: Limits, spans: Spans) -> Fitted:
    room = limits.context_length - max_tokens
    field = "prompt" if wanted.form is None else "theme" if wanted.theme is not None else "title"
    try:
        fitted = fit(prompt, spans, room, wanted.truncate)
    except DoesNotFit as answer:
        message = (
            f"The prompt has {answer.tokens} tokens, {answer.excess} too many: the context of "
            f"{limits.context_length} less max_tokens of {max_tokens} leaves {room}"
        )
        raise PromptTooLong(f"{field}: {message}", fields=(FieldProblem(field, message),)) from None
    if fitted.tokens == 0:
        raise InvalidField.one(field, "Holds no token that this model knows")
    return fitted
