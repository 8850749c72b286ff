"""What the corpus table of a text checkpoint says, for each language that it has."""

from dataclasses import dataclass
from typing import Any

from training.text import headed, themes, verse


@dataclass(frozen=True)
class English:
    """How English texts are cut and split.

    Lengths are in characters; `cuts` counts the different cuts of each work of prose.
    """

    verse: verse.Settings
    headed: headed.English
    words: themes.Settings
    fiction: tuple[str, ...]
    novels: tuple[str, ...]
    held_out_fiction: tuple[str, ...]
    held_out_plays: tuple[str, ...]
    last_speech: int
    shortest: int
    longest: int
    cuts: int


@dataclass(frozen=True)
class Chinese:
    """How Chinese texts are cut and split: the longest piece of prose in characters, the share held out."""

    headed: headed.Chinese
    longest: int
    held_out: float


@dataclass(frozen=True)
class Shares:
    """The languages of a checkpoint; `None` for one that it does not have."""

    en: English | None
    zh: Chinese | None


def read(raw: dict[str, Any]) -> Shares:
    """The corpus table of the TOML file; `TypeError` names a key that is missing or unknown."""
    languages = dict(raw)
    en, zh = languages.pop("en", None), languages.pop("zh", None)
    if languages:
        raise TypeError(f"the corpus has the languages en and zh, not {sorted(languages)}")
    return Shares(english(en) if en else None, chinese(zh) if zh else None)


def english(raw: dict[str, Any]) -> English:
    """The table `corpus.en`."""
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    given["verse"] = verse.Settings(**given["verse"])
    given["headed"] = headed.English(**given["headed"])
    given["words"] = themes.Settings(**given["words"])
    return English(**given)


def chinese(raw: dict[str, Any]) -> Chinese:
    """The table `corpus.zh`."""
    return Chinese(**raw | {"headed": headed.Chinese(**raw["headed"])})
