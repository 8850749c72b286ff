"""The rules of a form: what every piece of a job is held to."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

UNRHYMED = "X"  # the letter of a line that rhymes with none


class Syllables(BaseModel):
    """How many a line has."""

    model_config = ConfigDict(frozen=True)

    least: int
    most: int


class Rules(BaseModel):
    """Lines in order, as the worker's constraints take them.

    `characters`: of each Chinese line, without punctuation. `rhyme`: letters for so many lines, and for the next
    as many anew; of these, lines of one letter rhyme, and those of X with none. Empty: lines rhyme as they like.
    `syllables`: of a stanza's lines by turns; empty: any number.
    """

    model_config = ConfigDict(frozen=True)

    language: Literal["zh", "en"]
    lines: int
    characters: int | None = None
    stanza: int | None = None
    rhyme: str = ""
    syllables: tuple[Syllables, ...] = ()

    @property
    def letters(self) -> str:
        """Return the letter of each line."""
        scheme = self.rhyme or UNRHYMED
        return scheme * (self.lines // len(scheme))
