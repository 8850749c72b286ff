"""The prompt of a window: what the book is, who is in it, and the last that was written.

the opening                   title, premise and style, or the header of them that the model was taught: the same
                              in every window, so its memory is found again
the names that recur          counted over the whole book so far
the last sentences            as the tokens they were drawn as: what follows goes on without a seam
the heading, at the beginning of a part
"""

import re
from collections import Counter
from collections.abc import Sequence

from quire.longform import NAMES_TOKENS, Plan, PlannedPart, beginning, opening
from worker.creative.longform.sentences import ends
from worker.creative.longform.tokens import Tokenizes
from worker.engine.detokenizer import detokenizer

MOST_NAMES = 8
SIGHT = 20_000  # characters of a Chinese book, the last, in which words are counted
# A word with a capital that stands inside a sentence is a name: at its beginning every word would be one.
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}\b")
_HAN = re.compile(r"[\u4e00-\u9fff]{2,}")
# Characters that bind words or stand for them: what holds one is no word that tells of anything.
_BINDING = frozenset("的了着过是在有不没我你他她它们这那之其者也而于以与和就都又还很一个上下里来去到说道")


def names(plan: Plan, text: str) -> list[str]:
    """Return the names that recur and that the opening does not tell anyway, most frequent first.

    Chinese marks no names: there it is the words of two or three characters.
    """
    found = Counter(_NAME.findall(text)) if plan.language == "en" else _words(text[-SIGHT:])
    told = plan.header or plan.premise
    return [name for name, count in found.most_common() if count > 1 and name not in told][:MOST_NAMES]


def _words(text: str) -> Counter[str]:
    """Count what may be a word, longer ones in the place of the parts that stand nowhere else."""
    found = Counter(
        run[start : start + length]
        for run in _HAN.findall(text)
        for length in (3, 2)
        for start in range(len(run) - length + 1)
    )
    often = {word: count for word, count in found.most_common() if count > 1 and not _BINDING & set(word)}
    parts = {
        part for word in often if len(word) == 3 for part in (word[:2], word[1:]) if found[part] == found[word]
    }
    return Counter({word: count for word, count in often.items() if word not in parts})


def carried(plan: Plan, before: str, tokenizer: Tokenizes) -> list[int]:
    """Return the tokens that tell of the names, as many of them as there is room for."""
    told = names(plan, before)
    while told:
        line = f"With {', '.join(told)}." if plan.language == "en" else f"有{'、'.join(told)}。"
        tokens = tokenizer.encode(line + plan.gap)
        if len(tokens) <= NAMES_TOKENS:
            return tokens
        told.pop()
    return []


def prompt(
    plan: Plan, part: PlannedPart, before: Sequence[int], *, begins: bool, room: int, tokenizer: Tokenizes
) -> tuple[int, ...]:
    """Return the tokens of a window's prompt.

    Args:
        plan: of the book.
        part: the one that the window belongs to.
        before: tokens of the whole book so far.
        begins: whether the window is the part's first.
        room: tokens of the prompt, at most.
        tokenizer: of the model.

    """
    head = tokenizer.encode(opening(plan))
    facts = carried(plan, tokenizer.decode(before), tokenizer)
    heading = tokenizer.encode((plan.gap if before else "") + beginning(plan, part)) if begins else []
    left = room - len(head) - len(facts) - len(heading)
    return (*head, *facts, *tail(before, left, verse=plan.verse, tokenizer=tokenizer), *heading)


def tail(before: Sequence[int], most: int, *, verse: bool, tokenizer: Tokenizes) -> tuple[int, ...]:
    """Return the last tokens, from the beginning of a sentence on if one begins in their first half."""
    kept = tuple(before[max(0, len(before) - most) :])
    if len(kept) == len(before):
        return kept
    starts = set(ends(tokenizer.decode(kept), verse=verse))
    text, length = detokenizer(tokenizer, ()), 0
    for index, token in enumerate(kept[: len(kept) // 2]):
        if length in starts:  # a token of an English word brings the blank before it along
            return kept[index:]
        length += len(text.push([token]))
    return kept
