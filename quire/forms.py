"""The forms of text: the prompt that a model continues in a form, and the rules that its pieces are held to.

Verse and the Chinese forms begin with a header of tags (quire/headers.py), which only models know that were
trained with it. Story, poem and article do so as well where the model knows the tags; for others they begin as
texts do, with a title or a statement, and models trained on the open web read them as the openings they are.
"""

from dataclasses import dataclass
from typing import Final

from quire import headers
from quire.preparation import Spans
from quire.rules import UNRHYMED, Rules, Syllables
from quire.spec import Form

HEADERS: Final = {"poem": headers.verse, "story": headers.story, "article": headers.speech}
"""Of models that know tags; the nearest that they know to an article is an address to the public."""

VOWELS = tuple("aeiouAEIOU")

METERS: Final[dict[str, tuple[int, ...]]] = {
    "iambic trimeter": (6,),
    "iambic tetrameter": (8,),
    "iambic pentameter": (10,),
    "trochaic tetrameter": (8,),
    "ballad meter": (8, 6),
}
"""The meters that models know, with the syllables of their lines by turns."""

CHINESE: Final[dict[str, tuple[int, int] | None]] = {
    "五绝": (4, 5),
    "七绝": (4, 7),
    "五律": (8, 5),
    "七律": (8, 7),
    "词": None,
    "曲": None,
}
"""The Chinese forms, with their lines and characters; None where those are free."""

TAGS: Final[dict[str, tuple[str, str]]] = {
    "verse": ("<en>", "<verse>"),
    **{form: ("<zh>", f"<{form}>") for form in CHINESE},
}
"""The tags that headers begin with, of the forms that only models can write that know them."""

ENGLISH_WITH_LINES = ("poem", "verse")
NO_RHYME = "none"

LEAST_LINE_TOKENS = 24
"""Tokens of an English line that are always enough for it."""
USUAL_LINE_TOKENS = 32
MOST_OF_A_RHYME = 8  # lines of one letter
_ANY_SYLLABLES = Syllables(least=5, most=11)
_LEEWAY = 2  # syllables, where a meter is named but not held


@dataclass(frozen=True)
class Asked:
    """What a request says of the lines; None where it says nothing."""

    lines: int | None = None
    stanza: int | None = None
    rhyme: str | None = None
    meter: str | None = None
    syllables: int | None = None


class Refused(ValueError):
    """A field does not go with the form, or with another one; names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


def knows(spans: Spans, tags: tuple[str, str]) -> bool:
    """Whether a model was trained with headers of these tags: its vocabulary has each as one token."""
    return len(spans("".join(tags))) == len(tags)


def compose(
    form: Form,
    *,
    title: str | None,
    theme: str | None,
    style: str | None = None,
    meter: str | None = None,
    tagged: bool = False,
) -> str:
    """Build the prompt of a form from what is given of it. `tagged`: the model knows the tags of headers."""
    if form in CHINESE:
        return headers.chinese(form, title or theme or "", style or "")
    if form == "verse":
        return headers.verse(title or "", theme or "", meter or "")
    if tagged:
        about = " ".join(word for word in (style, theme) if word)
        return HEADERS[form](title or "", about)
    heading = f"{title}\n\n" if title else ""
    if theme is None:
        return heading
    kind = f"{style} {form}" if style else form
    article = "An" if kind.startswith(VOWELS) else "A"
    return f"{heading}{article} {kind} about {theme}.\n\n"


def rules_of(form: Form, asked: Asked) -> Rules | None:
    """Return what a form's pieces are held to; None if to nothing.

    Raises:
        Refused: something that was asked does not go with the form, or with something else.

    """
    if form in CHINESE:
        return _chinese(form, asked)
    if form not in ENGLISH_WITH_LINES:
        _only_for(asked, f"goes with the forms {', '.join((*ENGLISH_WITH_LINES, *CHINESE))}", but=())
    if asked.meter is not None and form != "verse":
        raise Refused("meter", "goes with the form verse")
    if asked.meter not in {None, *METERS}:
        raise Refused("meter", f"should be one of {', '.join(METERS)}")
    return _english(asked)


def tokens_needed(rules: Rules) -> int:
    """Return how many new tokens are always enough for a piece: fewer are refused."""
    if rules.language == "zh":
        return _chinese_tokens(rules)
    return rules.lines * LEAST_LINE_TOKENS + 1


def tokens_usual(rules: Rules) -> int:
    """Return how many new tokens a piece may have if the request does not say."""
    if rules.language == "zh":
        return _chinese_tokens(rules)
    return rules.lines * USUAL_LINE_TOKENS + 1


def letters_of(rules: Rules) -> str:
    """Return a text that a model's tokens must be able to write."""
    return "月\uff0c\n花\u3002" if rules.language == "zh" else "a,\nb."


def _chinese(form: Form, asked: Asked) -> Rules | None:
    shape = CHINESE[form]
    _only_for(asked, f"does not go with {form}", but=("rhyme",) if shape else ())
    if shape is None:
        return None
    if asked.rhyme not in {None, NO_RHYME}:
        raise Refused("rhyme", f"of {form} is its own, or {NO_RHYME}")
    lines, characters = shape
    rhyme = "" if asked.rhyme == NO_RHYME else (UNRHYMED + "A") * (lines // 2)
    return Rules(language="zh", lines=lines, characters=characters, rhyme=rhyme)


def _english(asked: Asked) -> Rules | None:
    meter = METERS[asked.meter] if asked.meter else None
    if asked.lines is None:
        _only_for(asked, "needs lines", but=("meter",))
        return None
    stanza = asked.stanza or asked.lines
    if asked.lines % stanza:
        raise Refused("stanza", f"{asked.lines} lines do not make whole stanzas of {stanza}")
    if meter and asked.syllables not in {None, meter[0]}:
        raise Refused("syllables", f"of {asked.meter} are {' and '.join(map(str, meter))} by turns")
    rhyme = _rhyme(asked.rhyme, asked.lines, stanza)
    if asked.syllables is not None:
        held = meter or (asked.syllables,)
        syllables = tuple(Syllables(least=count, most=count) for count in held)
    elif rhyme:
        about = (Syllables(least=count - _LEEWAY, most=count + _LEEWAY) for count in meter or ())
        syllables = tuple(about) or (_ANY_SYLLABLES,)
    else:
        syllables = ()
    return Rules(language="en", lines=asked.lines, stanza=stanza, rhyme=rhyme, syllables=syllables)


def _rhyme(scheme: str | None, lines: int, stanza: int) -> str:
    """Check a scheme."""
    if scheme is None or scheme == NO_RHYME:
        return ""
    if len(scheme) not in {lines, stanza}:
        wanted = f"{stanza}, one for each line of a stanza" if stanza < lines else f"{lines}, one for each line"
        raise Refused("rhyme", f"{scheme} has {len(scheme)} letters, not {wanted}")
    for letter in sorted(set(scheme) - {UNRHYMED}):
        if scheme.count(letter) == 1:
            raise Refused("rhyme", f"{letter} stands once in {scheme}; a line that rhymes with none is {UNRHYMED}")
        if scheme.count(letter) > MOST_OF_A_RHYME:
            raise Refused("rhyme", f"{letter} stands more than {MOST_OF_A_RHYME} times in {scheme}")
    return scheme


def _only_for(asked: Asked, message: str, *, but: tuple[str, ...]) -> None:
    for field, value in vars(asked).items():
        if value is not None and field not in but:
            raise Refused(field, message)


def _chinese_tokens(rules: Rules) -> int:
    """Return the bytes of a piece, and its end: no token writes less than a byte."""
    characters = rules.characters or 0
    return rules.lines * (3 * (characters + 1) + 1)
