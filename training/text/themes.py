"""Find what a block of verse is about: theme words by rarity, and a phrase for a title."""

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from training.text.verse import ENGLISH, WORD

# Prepositions stand here too: nobody writes "the autumn" as often as "in autumn".
_BEFORE_NOUNS = "the a an my thy his her our their your this that no every of in with from by for"
BEFORE_NOUNS = frozenset(_BEFORE_NOUNS.split())
# Function words beyond those that mark English, and adverbs that behave like nouns.
_STOP = (
    "a an i me he him in on as so do no if up by us o oh too nor yet now here more most such "
    "some any each every other same own self one two three many much few may can could would "
    "should might must did does done has been being am upon into unto through till until while "
    "before after again over under out off down ever never still even only just very well "
    "thine mine yours ours theirs himself herself itself myself thyself themselves ye hath doth "
    "hast dost didst art wert shalt wilt let like though thus why about above among both else "
    "whom whose vain best past first last next old new good great little "
    "long whole right left back away"
)
STOP = ENGLISH | frozenset(_STOP.split())
PHRASE_END = re.compile(r"[^\w\s'-]|--|\n")
LEAST_LETTERS = 3
TITLE_WORDS = range(2, 6)
SMALL = frozenset(
    {"a", "an", "and", "at", "but", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"}
)


@dataclass(frozen=True)
class Settings:
    """What may be a theme word, judged on every n-th passage."""

    sample_every: int
    least_blocks: int
    nounness: float


def noun_like(blocks: Iterable[str]) -> dict[str, float]:
    """Share of each lower-case word's uses that stand where nouns do.

    A noun-like use follows a determiner or a preposition and comes before a function word, a
    punctuation mark or the end of a line: crude, and enough to keep most verbs
    and adjectives out.
    """
    uses: Counter[str] = Counter()
    nouns: Counter[str] = Counter()
    for block in blocks:
        for line in block.split("\n"):
            tokens = re.findall(r"[\w']+|[^\w\s]", line)
            for before, word, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
                if len(word) < LEAST_LETTERS or not word.islower() or not word.isalpha():
                    continue
                uses[word] += 1
                bounded = not after.isalpha() or after.lower() in STOP
                nouns[word] += bounded and before.lower() in BEFORE_NOUNS
    return {word: nouns[word] / count for word, count in uses.items() if word not in STOP}


def rarity(blocks: Sequence[str], settings: Settings) -> dict[str, float]:
    """Inverse document frequency, in nats, of every word that may be a theme."""
    nounness = noun_like(blocks)
    found: Counter[str] = Counter()
    for block in blocks:
        found.update(set(WORD.findall(block)))
    return {
        word: math.log(len(blocks) / found[word])
        for word, share in nounness.items()
        if share >= settings.nounness and found[word] >= settings.least_blocks
    }


def theme_words(block: str, idf: Mapping[str, float], most: int, draw: random.Random) -> list[str]:
    """Draw one to `most` different theme words of a block, weighted by count times rarity.

    Drawing, not taking the rarest, lets common themes such as love come up too.
    Empty when the block has none.
    """
    counts = Counter(word for word in WORD.findall(block) if word in idf)
    wanted = min(draw.randint(1, most), len(counts))
    chosen: list[str] = []
    while len(chosen) < wanted:
        words = [word for word in counts if word not in chosen]
        weights = [counts[word] * idf[word] for word in words]
        chosen += draw.choices(words, weights)
    return chosen


def title(block: str, idf: Mapping[str, float], draw: random.Random) -> str:
    """Draw a phrase of two to five words between punctuation that holds a theme word.

    Returned in title case; empty when there is none.
    """
    phrases = [phrase.split() for phrase in PHRASE_END.split(block)]
    fit = [p for p in phrases if len(p) in TITLE_WORDS and any(word in idf for word in p)]
    if not fit:
        return ""
    words = [word.strip("'-").lower() for word in draw.choice(fit)]
    cased = [w if i and w in SMALL else w.capitalize() for i, w in enumerate(words)]
    return " ".join(word for word in cased if word)
