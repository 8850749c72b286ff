"""What a form's pieces are held to, and what does not go together."""

from typing import get_args

import pytest

from quire.forms import CHINESE, Asked, Refused, compose, rules_of, tokens_needed, tokens_usual
from quire.rules import Rules, Syllables
from quire.spec import Form, Input, Parameters, Spec


def of(least: int, most: int) -> Syllables:
    return Syllables(least=least, most=most)


def test_a_meter_that_no_model_knows_is_refused() -> None:
    with pytest.raises(Refused, match=r"meter: should be one of iambic trimeter"):
        rules_of("verse", Asked(meter="6/8"))


def test_every_chinese_form_may_be_asked_for() -> None:
    assert CHINESE.keys() < set(get_args(Form))


@pytest.mark.parametrize(
    ("form", "rules"),
    [
        ("五绝", Rules(language="zh", lines=4, characters=5, rhyme="XAXA")),
        ("七绝", Rules(language="zh", lines=4, characters=7, rhyme="XAXA")),
        ("五律", Rules(language="zh", lines=8, characters=5, rhyme="XAXAXAXA")),
        ("七律", Rules(language="zh", lines=8, characters=7, rhyme="XAXAXAXA")),
        ("词", None),
        ("曲", None),
        ("poem", None),
        ("verse", None),
        ("story", None),
        ("article", None),
    ],
)
def test_a_form_has_its_own_rules(form: Form, rules: Rules | None) -> None:
    assert rules_of(form, Asked()) == rules


def test_the_rhyme_of_a_chinese_form_may_be_switched_off() -> None:
    assert rules_of("五绝", Asked(rhyme="none")) == Rules(language="zh", lines=4, characters=5)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asked(lines=6), {"lines": 6, "stanza": 6}),
        (Asked(lines=6, stanza=2), {"lines": 6, "stanza": 2}),
        (Asked(lines=6, rhyme="none"), {"lines": 6, "stanza": 6}),
        (Asked(lines=4, rhyme="ABAB"), {"lines": 4, "stanza": 4, "rhyme": "ABAB", "syllables": (of(5, 11),)}),
        (
            Asked(lines=4, stanza=2, rhyme="ABAB"),
            {"lines": 4, "stanza": 2, "rhyme": "ABAB", "syllables": (of(5, 11),)},
        ),
        (Asked(lines=4, syllables=7), {"lines": 4, "stanza": 4, "syllables": (of(7, 7),)}),
        (Asked(lines=4, meter="iambic tetrameter"), {"lines": 4, "stanza": 4}),
        (
            Asked(lines=4, rhyme="AABB", meter="iambic pentameter"),
            {"lines": 4, "stanza": 4, "rhyme": "AABB", "syllables": (of(8, 12),)},
        ),
        (
            Asked(lines=4, meter="ballad meter", syllables=8),
            {"lines": 4, "stanza": 4, "syllables": (of(8, 8), of(6, 6))},
        ),
    ],
)
def test_english_verse_has_the_rules_that_are_asked_for(asked: Asked, expected: dict[str, object]) -> None:
    assert rules_of("verse", asked) == Rules(language="en", **expected)


@pytest.mark.parametrize(
    ("form", "asked", "field"),
    [
        ("story", Asked(lines=4), "lines"),
        ("article", Asked(meter="iambic trimeter"), "meter"),
        ("poem", Asked(lines=4, meter="iambic trimeter"), "meter"),
        ("七绝", Asked(lines=4), "lines"),
        ("七绝", Asked(syllables=7), "syllables"),
        ("七绝", Asked(rhyme="AABA"), "rhyme"),
        ("词", Asked(rhyme="none"), "rhyme"),
        ("verse", Asked(stanza=4), "stanza"),
        ("verse", Asked(rhyme="ABAB"), "rhyme"),
        ("verse", Asked(meter="iambic trimeter", syllables=6), "syllables"),
        ("verse", Asked(lines=10, stanza=4), "stanza"),
        ("verse", Asked(lines=4, stanza=8), "stanza"),
        ("verse", Asked(lines=8, stanza=4, rhyme="ABC"), "rhyme"),
        ("verse", Asked(lines=4, rhyme="ABAC"), "rhyme"),
        ("verse", Asked(lines=9, rhyme="AAAAAAAAA"), "rhyme"),
        ("verse", Asked(lines=4, meter="iambic tetrameter", syllables=10), "syllables"),
        ("verse", Asked(lines=4, meter="ballad meter", syllables=6), "syllables"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(form: Form, asked: Asked, field: str) -> None:
    with pytest.raises(Refused) as caught:
        rules_of(form, asked)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("form", "asked", "needed", "usual"),
    [
        ("五绝", Asked(), 4 * (6 * 3 + 1), 4 * (6 * 3 + 1)),
        ("七律", Asked(), 8 * (8 * 3 + 1), 8 * (8 * 3 + 1)),
        ("verse", Asked(lines=10), 241, 321),
    ],
)
def test_the_tokens_of_a_form_are_known_before(form: Form, asked: Asked, needed: int, usual: int) -> None:
    rules = rules_of(form, asked)
    assert rules is not None
    assert (tokens_needed(rules), tokens_usual(rules)) == (needed, usual)


@pytest.mark.parametrize(
    ("form", "given", "prompt"),
    [
        ("七绝", {"title": "月夜", "style": "李白"}, "<zh><七绝>月夜|李白\n"),
        ("词", {"theme": "秋思"}, "<zh><词>秋思|\n"),
        ("verse", {"title": "Ebb", "theme": "sea and night"}, "<en><verse>Ebb|sea and night\n"),
        ("verse", {"theme": "sea", "meter": "ballad meter"}, "<en><verse><ballad meter>|sea\n"),
        ("verse", {"title": "a|b<c>  d"}, "<en><verse>a b c d|\n"),
    ],
)
def test_a_header_is_composed_to_the_letter(form: Form, given: dict[str, str], prompt: str) -> None:
    assert compose(form, **{"title": None, "theme": None} | given) == prompt


def test_the_letters_of_a_scheme_are_repeated_for_all_lines() -> None:
    assert Rules(language="en", lines=8, stanza=4, rhyme="ABAB").letters == "ABABABAB"
    assert Rules(language="en", lines=3).letters == "XXX"


def test_rules_are_kept_in_a_job_and_missing_ones_are_none() -> None:
    rules = rules_of("verse", Asked(lines=4, rhyme="ABAB"))
    spec = Spec(input=Input(prompt="x", rules=rules), parameters=Parameters())
    assert Spec.decode(spec.encode()).input.rules == rules
    assert Spec.decode(b'{"input": {"prompt": "x"}, "parameters": {}}').input.rules is None
