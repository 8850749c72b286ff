"""Long-form works: the plan of a book, as the API makes it and the worker follows it.

A book is parts, a part is windows, a window is slices. All of it is counted in tokens, so where a window begins
follows from the plan and never from time or load.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quire import headers

Shape = Literal["novel", "cycle", "epic", "serial"]
Language = Literal["en", "zh"]

HEADINGS: dict[tuple[Shape, Language], str] = {
    ("novel", "en"): "Chapter {}",
    ("cycle", "en"): "Tale {}",
    ("epic", "en"): "Canto {}",
    ("serial", "en"): "Episode {}",
    ("novel", "zh"): "第{}章",
    ("cycle", "zh"): "故事{}",
    ("epic", "zh"): "第{}歌",
    ("serial", "zh"): "第{}集",
}
THEME_WORDS = 3  # as many as the headers have that models were taught
_WORD = re.compile(r"[^\W\d_]{4,}")
NAMES_TOKENS = 48  # kept free in each prompt for the names that recur
TAIL_TOKENS = 64  # of the text before a window, at least


class PlannedPart(BaseModel):
    """One part. Sampling parameters that are null are the job's."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    heading: str
    prompt: str | None = Field(default=None, description="Told to the model at the part's beginning.")
    tokens: int = Field(description="After which the part ends with its sentence, or its line.")
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None


class Guard(BaseModel):
    """What is done against loops, each by itself; `python -m bench.longform quality` measures what it is worth."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    no_repeat: int = Field(default=12, ge=0, le=64, description="No span of so many tokens comes twice; 0: off.")
    penalty: float = Field(
        default=0.0, ge=0, le=10, description="Taken from the logits of tokens used before a window; 0: off."
    )
    half_life: int = Field(default=256, ge=1, le=100_000, description="Tokens in which the penalty falls by half.")
    retries: int = Field(default=0, ge=0, le=8, description="How often a window that closes a loop is drawn anew.")
    draws: int = Field(default=1, ge=1, le=8, description="Of each window, of which the best is kept.")

    @property
    def settles(self) -> bool:
        """Whether a window may be thrown away, so that it is written only when it is whole."""
        return self.draws > 1 or self.retries > 0

    @model_validator(mode="after")
    def _more_than_one(self) -> "Guard":
        if self.no_repeat == 1:
            raise ValueError("no_repeat must be 0 or at least 2")
        return self


class Plan(BaseModel):
    """What is to be written, with all that was left open decided; what a later version adds is passed over."""

    model_config = ConfigDict(frozen=True)

    title: str
    premise: str
    form: Shape
    language: Language
    style: str | None = None
    header: str = Field(
        default="", description="Stands for title, premise and style, for a model that knows tags."
    )
    parts: Annotated[tuple[PlannedPart, ...], Field(min_length=1)]
    first: int = Field(default=1, description="The number of its first part; more where it continues a book.")
    window: int = Field(description="New tokens that share one composed prompt.")
    ending: int = Field(description="Tokens in which a part may find its end, beyond its length.")
    guard: Guard = Guard()

    @property
    def verse(self) -> bool:
        """Whether it is written in lines, and parts end with one."""
        return self.form == "epic"

    @property
    def gap(self) -> str:
        """What stands between paragraphs. Models that know headers were taught prose without empty lines."""
        return "\n" if self.header and not self.verse else "\n\n"

    @property
    def most_tokens(self) -> int:
        """Tokens of all parts together, at most."""
        return sum(part.tokens + self.ending for part in self.parts)

    def windows(self, part: PlannedPart) -> int:
        return -(-part.tokens // self.window)


def heading(shape: Shape, language: Language, number: int) -> str:
    """Return the heading of a part that was given none; parts count from 1."""
    return HEADINGS[shape, language].format(number)


def tags_of(shape: Shape, language: Language) -> tuple[str, str]:
    """Return the tags that a work begins with, for models that were taught headers."""
    verse = shape == "epic"
    if language == "zh":
        return "<zh>", "<诗>" if verse else "<文>"
    return "<en>", "<verse>" if verse else "<story>"


def header(shape: Shape, language: Language, *, title: str, premise: str, style: str | None) -> str:
    """Return what a model that was taught headers is told in the place of title, premise and style.

    English headers have a title and a theme of a few words: the longest of the premise. Chinese ones have a title
    and an author, so the premise stands below as the first line of the text.
    """
    if language == "zh":
        return f"{headers.chinese('诗' if shape == 'epic' else '文', title, style or '')}{premise}\n"
    words = dict.fromkeys(word.lower() for word in _WORD.findall(premise))
    longest = sorted(words, key=len, reverse=True)[:THEME_WORDS]
    theme = headers.theme_line([word for word in words if word in longest]) if longest else premise
    about = f"{style} {theme}" if style else theme
    return (headers.verse if shape == "epic" else headers.story)(title, about)


def opening(plan: Plan) -> str:
    """Return what stands first in every prompt: it never changes, so it is computed once."""
    if plan.header:
        return plan.header
    style = f" {plan.style[0].upper()}{plan.style[1:]}." if plan.style else ""
    return f"{plan.title}\n\n{plan.premise}{style}\n\n"


def beginning(plan: Plan, part: PlannedPart) -> str:
    """Return what a part begins with, in the prompt alone."""
    return f"{part.heading}{plan.gap}" + (f"{part.prompt}{plan.gap}" if part.prompt else "")
