"""Long-form works: what may be asked of one, and the plan that is made of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from quire.asking.fields import Name, Prompt, wrong
from quire.errors import InvalidField
from quire.forms import knows
from quire.longform import (
    NAMES_TOKENS,
    TAIL_TOKENS,
    Guard,
    Language,
    Plan,
    PlannedPart,
    Shape,
    beginning,
    header,
    heading,
    opening,
    tags_of,
)
from quire.preparation import Spans, prepare
from quire.spec import Spec

MOST_PARTS = 200
MOST_TOKENS = 500_000  # of a book
MOST_PART_TOKENS = 100_000
PROMPT_CHARACTERS = 2_000
DEFAULT_TOKENS = 2_000  # of a part
FEWEST_WINDOW, MOST_ENDING = 32, 96  # tokens


def _untabbed(value: str) -> str:
    if "\t" in value:
        raise wrong("Input should not hold control characters")
    return value


Heading = Annotated[Name, AfterValidator(_untabbed)]
Length = Annotated[int, Field(ge=1, le=MOST_PART_TOKENS)]


class BookPart(BaseModel):
    """A part of a book; what is left out is the book's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    heading: Heading | None = Field(default=None, description="One line; default: as Chapter 3.")
    prompt: Prompt | None = Field(default=None, description="Told to the model where the part begins.")
    tokens: Length | None = None
    words: Length | None = Field(default=None, description="In place of tokens.")
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_k: int | None = Field(default=None, ge=0, le=1000)
    top_p: float | None = Field(default=None, gt=0, le=1)
    min_p: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.tokens is not None and self.words is not None:
            raise wrong("words: give tokens or words, not both")
        return self


def _parts(value: Any) -> Any:
    """Take a number for so many parts of which nothing is said."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_PARTS:
            raise wrong(f"Should be 1 to {MOST_PARTS}")
        return [{}] * value
    return value


Parts = BeforeValidator(
    _parts,
    json_schema_input_type=Annotated[int, Field(ge=1, le=MOST_PARTS)]
    | Annotated[list[BookPart], Field(min_length=1, max_length=MOST_PARTS)],
)


class AskedGuard(Guard):
    model_config = ConfigDict(extra="forbid")


class BookRequest(BaseModel):
    """A book: what it is about, and its parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    title: Heading
    premise: Prompt = Field(description="What it is about; stands, or its longest words do, in every prompt.")
    form: Shape = Field(default="novel", description="Names the parts; an epic is verse.")
    language: Language = "en"
    style: Heading | None = Field(
        default=None, description="A sentence behind the premise; in a header before the theme, or the author."
    )
    parts: Annotated[list[BookPart], Parts] = Field(
        min_length=1, max_length=MOST_PARTS, description="Each part, or how many."
    )
    tokens: Length | None = Field(default=None, description="Of each part that has no length of its own.")
    words: Length | None = Field(default=None, description="In place of tokens.")
    window: int | None = Field(
        default=None, ge=FEWEST_WINDOW, description="New tokens for one prompt; default: a quarter of the context."
    )

    guard: AskedGuard = AskedGuard()

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.tokens is not None and self.words is not None:
            raise wrong("words: give tokens or words, not both")
        if len(self.premise) > PROMPT_CHARACTERS:
            raise wrong(f"premise: should have at most {PROMPT_CHARACTERS} characters")
        return self


class ContinueRequest(BaseModel):
    """More parts of a book that is over; all else is as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    parts: Annotated[list[BookPart], Parts] = Field(
        min_length=1, max_length=MOST_PARTS, description="Each part, or how many."
    )
    tokens: Length | None = Field(default=None, description="Of each part that has no length of its own.")
    words: Length | None = Field(default=None, description="In place of tokens.")
    seed: int | None = Field(default=None, ge=0, le=2**53 - 1, description="Drawn, and told, if not given.")


@dataclass(frozen=True)
class Earlier:
    """The book that another one goes on with: its id as it is shown, its job's model, its plan and last tokens."""

    id: str
    model: str
    spec: Spec
    plan: Plan
    tokens: tuple[int, ...]


def continued(asked: ContinueRequest, earlier: Earlier) -> dict[str, Any]:
    """Return the request of a job that goes on with a book."""
    plan, drawn = earlier.plan, earlier.spec.parameters
    kept = (
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
    )
    book = {name: getattr(plan, name) for name in ("title", "premise", "form", "language", "style", "window")}
    return {name: getattr(drawn, name) for name in kept} | {
        "kind": "longform",
        "model": earlier.model,
        "seed": asked.seed,
        "logit_bias": dict(drawn.logit_bias),
        "longform": book
        | asked.model_dump(include={"parts", "tokens", "words"}, exclude_none=True)
        | {"guard": plan.guard.model_dump()},
    }


def of_continuation(error: InvalidField) -> InvalidField:
    """Return the error about a book that goes on, with its fields named as the request to continue has them."""
    problems = tuple(replace(problem, field=problem.field.removeprefix("longform.")) for problem in error.fields)
    first = problems[0]
    return InvalidField(f"{first.field}: {first.message}", fields=problems)


def planned(asked: BookRequest, context: int, spans: Spans, earlier: Plan | None = None) -> Plan:
    """Decide what was left open, and see that it fits the model. `earlier`: of the book that this goes on with.

    Raises:
        InvalidField: a length is less than a window or too much, or a prompt is too long for the context.

    """
    window = asked.window or max(FEWEST_WINDOW, context // 4)
    ending = min(MOST_ENDING, context // 8)
    premise = prepare(asked.premise).text.strip()
    first = earlier.first + len(earlier.parts) if earlier else 1
    tokens_of = _tokens_of(asked, premise, spans)
    plan = Plan(
        title=asked.title,
        premise=premise,
        form=asked.form,
        language=asked.language,
        style=asked.style,
        header=earlier.header if earlier else _header(asked, premise, spans),
        parts=tuple(_part(asked, number, part, tokens_of) for number, part in enumerate(asked.parts, first)),
        first=first,
        window=window,
        ending=ending,
        guard=asked.guard,
    )
    _check(plan, asked, context, spans)
    return plan


def _header(asked: BookRequest, premise: str, spans: Spans) -> str:
    if not knows(spans, tags_of(asked.form, asked.language)):
        return ""
    return header(asked.form, asked.language, title=asked.title, premise=premise, style=asked.style)


def _part(asked: BookRequest, number: int, part: BookPart, tokens_of: Callable[[int], int]) -> PlannedPart:
    words = asked.words if part.tokens is None and part.words is None else part.words
    return PlannedPart(
        heading=part.heading or heading(asked.form, asked.language, number),
        prompt=prepare(part.prompt).text.strip() if part.prompt else None,
        tokens=tokens_of(words) if words else part.tokens or asked.tokens or DEFAULT_TOKENS,
        temperature=part.temperature,
        top_k=part.top_k,
        top_p=part.top_p,
        min_p=part.min_p,
    )


def _tokens_of(asked: BookRequest, premise: str, spans: Spans) -> Callable[[int], int]:
    """Return how many tokens so many words are, by what the model needs for those of the premise."""
    count = len(premise.split()) if asked.language == "en" else len(premise)
    each = len(spans(premise)) / max(1, count)
    return lambda words: round(words * each)


def _check(plan: Plan, asked: BookRequest, context: int, spans: Spans) -> None:
    if plan.window > context // 2:
        raise InvalidField.one("longform.window", f"Should be at most {context // 2}, half the model's context")
    room = context - plan.window - plan.ending - NAMES_TOKENS - TAIL_TOKENS - len(spans(opening(plan)))
    if room <= 0:
        raise InvalidField.one(
            "longform.premise",
            f"Title, premise and style are {-room} tokens too long for a context of {context} with windows "
            f"of {plan.window}",
        )
    for index, (part, wanted) in enumerate(zip(plan.parts, asked.parts, strict=True)):
        own = wanted if wanted.tokens or wanted.words else asked
        place = f"longform.parts.{index}"
        if not plan.window <= part.tokens <= MOST_PART_TOKENS:
            message = f"Should be {plan.window} (a window) to {MOST_PART_TOKENS} tokens, and is {part.tokens}"
            raise InvalidField.one(
                f"{'longform' if own is asked else place}.{'words' if own.words else 'tokens'}", message
            )
        if (needed := len(spans(beginning(plan, part))) + 2) > room:
            raise InvalidField.one(
                f"{place}.prompt", f"Is {needed - room} tokens too long for the model's context"
            )
    if plan.most_tokens > MOST_TOKENS:
        raise InvalidField.one(
            "longform.parts", f"All parts may have {MOST_TOKENS} tokens together, and have {plan.most_tokens}"
        )
