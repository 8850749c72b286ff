"""What a job may ask for, field by field, with every range; and an item of a batch."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from quire.asking.books import BookRequest
from quire.asking.fields import (
    Line,
    MetadataKey,
    MetadataValue,
    Moment,
    Name,
    OneOrMore,
    Prompt,
    Rhyme,
    Sequence,
    whole,
    wrong,
)
from quire.forms import CHINESE, TAGS, Asked, Refused, rules_of
from quire.longform import tags_of
from quire.rules import Rules
from quire.spec import ArtifactKind, Form, Parameters

MUSIC_ONLY = ("key", "tempo", "bars", "accidentals", "opening", "opening_midi", "instrument", "artifacts")
# Either a tune has none, or they would cut it short or keep it from what it needs to end.
TEXT_ONLY = (
    *("prompt", "form", "lines", "stanza", "rhyme", "syllables"),
    *("truncate", "max_tokens", "min_tokens", "stop", "banned"),
)
# What the plan of a book says instead, or cannot have.
NOT_LONGFORM = (
    *TEXT_ONLY,
    *MUSIC_ONLY,
    *("title", "theme", "style", "meter", "n", "best_of", "logprobs"),
)
MAX_SEED = 2**53 - 1  # what every JSON parser reads exactly
MAX_LINES = 64
PARAMETERS = tuple(Parameters.model_fields)
ASKED = tuple(Asked.__dataclass_fields__)


class Need(NamedTuple):
    """What a job needs of a model. Without a name it is the first of the configured ones that can do it."""

    model: str | None = None
    kind: str = "text"
    tags: tuple[str, str] | None = None  # that it is to know


class JobRequest(Parameters):
    """A job: a text, from exactly one of `prompt` and `form`, or tunes of a `style`; and how to draw."""

    kind: Literal["text", "music", "longform"] = Field(default="text", description="What is made.")
    longform: BookRequest | None = Field(default=None, description="The book of kind longform.")
    model: Name | None = Field(
        default=None, description="A name of GET /v1/models; default: the server's first that can do it."
    )
    prompt: Prompt | None = Field(default=None, description="Continued as it is.")
    form: Form | None = Field(default=None, description="A template builds the prompt from title, theme, style.")
    title: Line | None = Field(default=None, description="One line; with form, or of a tune.")
    theme: Line | None = Field(default=None, description="One line; with form, or a tune's in place of a title.")
    style: Line | None = Field(
        default=None,
        description="With form an adjective or two, needs a theme; with a Chinese form a poet; music: jig, reel …",
    )
    lines: int | None = Field(
        default=None, ge=2, le=MAX_LINES, description="So many, exactly; with the forms poem and verse."
    )
    stanza: int | None = Field(
        default=None, ge=2, le=MAX_LINES, description="Lines of each stanza; default: all are one. Needs lines."
    )
    rhyme: Rhyme | None = Field(
        default=None,
        description="A letter for each line of a stanza, or of the poem, as ABAB; X rhymes with none. "
        "Needs lines. With a Chinese form: none, to switch its own off.",
    )
    meter: Annotated[str, Field(max_length=32)] | None = Field(
        default=None,
        description="With verse: what the model is asked for, as iambic tetrameter. Music: as 6/8; "
        "default: the usual one of the style.",
    )
    syllables: int | None = Field(
        default=None,
        ge=4,
        le=12,
        description="Of each line, exactly, but for one more where its last is unstressed. Needs lines.",
    )
    key: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="Music: as G major, Em or A dorian; default: G major."
    )
    tempo: int | None = Field(
        default=None, ge=20, le=400, description="Music: pulses a minute; default: the style's."
    )
    bars: int | None = Field(
        default=None, ge=4, le=128, description="Music: without pickups and second endings; default: 16."
    )
    accidentals: bool | None = Field(
        default=None, description="Music: allow those that suit the key; default: notes of the key alone."
    )
    opening: Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(whole)] | None = Field(
        default=None, description="Music: ABC that the tune begins with."
    )
    opening_midi: Annotated[str, Field(min_length=1, max_length=100_000)] | None = Field(
        default=None,
        description="Music: the same as a Standard MIDI File in base64, of which the melody is taken.",
    )
    instrument: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Music: by its General MIDI name; default: fiddle."
    )
    artifacts: Annotated[list[ArtifactKind], Field(max_length=4)] | None = Field(
        default=None, description="Music: what is made of each tune beside ABC; default: all there is."
    )
    truncate: Literal["start", "end"] | None = Field(
        default=None, description="Which side of a prompt that is too long may be cut; default: refuse it."
    )
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Drawn, and told, if not given.")
    stop: Annotated[list[Sequence], OneOrMore] = Field(
        default=[], max_length=8, description="A string or several; each ends the piece before it."
    )
    banned: list[Sequence] = Field(default=[], max_length=100, description="Strings that are never written.")
    not_before: Moment | None = Field(default=None, description="Held until then.")
    deadline: Moment | None = Field(default=None, description="Expired if not finished by then.")
    priority: int = Field(default=0, ge=-100, le=100, description="Higher first, inside your own queue.")
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default={}, max_length=16, description="Yours; not encrypted."
    )
    retention_hours: int | None = Field(
        default=None,
        ge=1,
        le=87_600,
        description="Deleted so long after its end; default: as the tenant's jobs are.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """A message starts with the field it blames: see validation.py."""
        if self.kind == "longform":
            return self._one_book()
        if self.longform is not None:
            raise wrong("longform: goes with kind longform")
        for field in TEXT_ONLY if self.kind == "music" else MUSIC_ONLY:
            if field in self.model_fields_set and getattr(self, field) is not None:
                raise wrong(f"{field}: {'is not for music' if self.kind == 'music' else 'goes with kind music'}")
        return self._one_opening() if self.kind == "music" else self._one_prompt()

    def _one_book(self) -> Self:
        if self.longform is None:
            raise wrong("longform: kind longform needs it")
        for field in NOT_LONGFORM:
            if field in self.model_fields_set and getattr(self, field) is not None:
                raise wrong(f"{field}: does not go with kind longform")
        return self

    def _one_prompt(self) -> Self:
        if (self.prompt is None) == (self.form is None):
            raise wrong("prompt: exactly one of prompt and form is required")
        if self.form is None:
            for field in ("title", "theme", "style", *ASKED):
                if getattr(self, field) is not None:
                    raise wrong(f"{field}: goes with form, not with prompt")
        elif self.theme is None and self.title is None:
            raise wrong("theme: a form needs a theme or a title")
        elif self.form in CHINESE:
            if self.theme is not None and self.title is not None:
                raise wrong(f"theme: {self.form} has a title or a theme, not both")
        elif self.style is not None and self.form == "verse":
            raise wrong("style: does not go with verse")
        elif self.style is not None and self.theme is None:
            raise wrong("style: needs a theme")
        return self

    def _one_opening(self) -> Self:
        if self.style is None:
            raise wrong("style: music needs one, as jig or waltz")
        if self.title is not None and self.theme is not None:
            raise wrong("theme: takes the place of a title; give one of them")
        if self.opening is not None and self.opening_midi is not None:
            raise wrong("opening_midi: give one opening")
        return self

    @model_validator(mode="after")
    def _rules_alone_end_a_piece(self) -> Self:
        """What would end a piece before its form is whole, or keep it from being so, does not go with rules."""
        if self.rules() is not None:
            for field, free in (("stop", []), ("banned", []), ("min_tokens", 0), ("truncate", None)):
                if getattr(self, field) != free:
                    raise wrong(f"{field}: does not go with a form that has rules")
        return self

    @model_validator(mode="after")
    def _times(self) -> Self:
        if self.deadline is not None:
            if self.deadline <= datetime.now(UTC):
                raise wrong("deadline: should be in the future")
            if self.not_before is not None and self.deadline <= self.not_before:
                raise wrong("deadline: should be after not_before")
        return self

    @property
    def need(self) -> Need:
        tags = TAGS.get(self.form or "")
        if self.longform is not None and self.longform.language == "zh":
            tags = tags_of(self.longform.form, self.longform.language)
        return Need(self.model, self.kind, tags)

    def drawn_as(self, sampling: Mapping[str, float]) -> Self:
        """Return the same with these parameters where it says nothing of them."""
        return self.model_copy(update={k: v for k, v in sampling.items() if k not in self.model_fields_set})

    def rules(self) -> Rules | None:
        """Return what the form's pieces are held to.

        Raises:
            ValueError: what is asked for does not go together; it starts with the field to blame.

        """
        if self.form is None:
            return None
        try:
            return rules_of(self.form, Asked(**{field: getattr(self, field) for field in ASKED}))
        except Refused as refused:
            raise wrong(str(refused)) from None

    def parameters(self, **changed: Any) -> Parameters:
        """Return the part that says how tokens are drawn, with what was decided since."""
        told = self.__dict__
        return Parameters.model_construct(**{name: told[name] for name in PARAMETERS} | changed)


OF_THE_BATCH = ("not_before", "deadline", "priority", "retention_hours")


def _visible(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise wrong("Input should be visible characters")
    return value


CustomId = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_visible)]


class BatchItem(JobRequest):
    """A job, and what its submitter calls it."""

    custom_id: CustomId | None = None

    @model_validator(mode="after")
    def _alone(self) -> Self:
        for field in OF_THE_BATCH:
            if field in self.model_fields_set:
                raise wrong(f"{field}: is the batch's, not an item's")
        return self
