"""The prompt of a window: what the book is, who is in it, and the last that was written.

title, premise and style      the same in every window, so its memory is found again
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
# A word with a capital that stands inside a sentence is a name: at its beginning every word would be one.
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}\b")


def names(plan: Plan, text: str) -> list[str]:
    """Return the names that recur and that the premise does not tell anyway, most frequent first."""
    if plan.language != "en":
        return []
    told = Counter(_NAME.findall(text))
    return [name for name, count in told.most_common() if count > 1 and name not in plan.premise][:MOST_NAMES]


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
    people = names(plan, tokenizer.decode(before))
    carried = tokenizer.encode(f"With {', '.join(people)}.\n\n") if people else []
    if len(carried) > NAMES_TOKENS:
        carried = []
    heading = tokenizer.encode(("\n\n" if before else "") + beginning(part)) if begins else []
    left = room - len(head) - len(carried) - len(heading)
    return (*head, *carried, *tail(before, left, verse=plan.verse, tokenizer=tokenizer), *heading)


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
