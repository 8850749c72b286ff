"""Which requests for forms are taken, and which field is named where one is not."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from quire.asking.request import JobRequest
from quire.asking.tokenizing import Counting
from quire.asking.validation import checked
from quire.errors import InvalidField


@pytest.mark.parametrize(
    "body",
    [
        {"form": "七绝", "title": "月夜"},
        {"form": "七绝", "theme": "月夜", "style": "李白", "rhyme": "none"},
        {"form": "词", "title": "秋思"},
        {"form": "verse", "theme": "sea", "meter": "iambic tetrameter"},
        {"form": "verse", "theme": "sea", "lines": 12, "stanza": 4, "rhyme": "ABAB", "meter": "iambic tetrameter"},
        {"form": "poem", "theme": "sea", "style": "short", "lines": 8, "syllables": 8},
        {"form": "poem", "theme": "sea", "stop": ["x"], "banned": ["y"]},
    ],
    ids=str,
)
def test_a_form_may_be_asked_for(body: dict[str, object]) -> None:
    assert checked(JobRequest, body).form == body["form"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"form": "七言", "title": "x"}, "form"),
        ({"form": "七绝", "title": "x", "theme": "y"}, "theme"),
        ({"form": "七绝", "title": "x", "lines": 4}, "lines"),
        ({"form": "七绝", "title": "x", "rhyme": "AABA"}, "rhyme"),
        ({"form": "verse", "title": "x", "theme": "y", "style": "short"}, "style"),
        ({"form": "verse", "title": "x", "rhyme": "ABAB"}, "rhyme"),
        ({"form": "verse", "title": "x", "lines": 8, "rhyme": "ABA"}, "rhyme"),
        ({"form": "verse", "title": "x", "lines": 8, "rhyme": "abab"}, "rhyme"),
        ({"form": "verse", "title": "x", "lines": 1}, "lines"),
        ({"form": "verse", "title": "x", "lines": 65}, "lines"),
        ({"form": "verse", "title": "x", "lines": 4, "syllables": 3}, "syllables"),
        ({"form": "verse", "title": "x", "lines": 4, "syllables": 13}, "syllables"),
        ({"form": "verse", "title": "x", "meter": "free"}, "meter"),
        ({"form": "story", "title": "x", "lines": 4}, "lines"),
        ({"prompt": "x", "lines": 4}, "lines"),
        ({"prompt": "x", "meter": "iambic trimeter"}, "meter"),
        ({"form": "七绝", "title": "x", "stop": ["。"]}, "stop"),
        ({"form": "七绝", "title": "x", "banned": ["月"]}, "banned"),
        ({"form": "七绝", "title": "x", "min_tokens": 3}, "min_tokens"),
        ({"form": "七绝", "title": "x", "truncate": "end"}, "truncate"),
    ],
    ids=str,
)
def test_what_a_form_does_not_take_is_refused_by_name(body: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        checked(JobRequest, body)
    assert caught.value.fields[0].field == field


def byte_level(*letters: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def test_tokens_of_all_bytes_write_every_text() -> None:
    assert Counting(byte_level(*pre_tokenizers.ByteLevel.alphabet())).can_write("月，\n花。")


def test_tokens_of_some_letters_write_only_these() -> None:
    tokens = Counting(byte_level("a", "b"))

    assert tokens.can_write("ab")
    assert not tokens.can_write("a\nb")


def test_word_pieces_do_not_write_lines() -> None:
    tokenizer = Tokenizer(models.WordPiece(vocab={"[UNK]": 0, "月": 1, "，": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()

    assert not Counting(tokenizer).can_write("月，\n月")
