from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from worker.engine.detokenizer import REPLACEMENT, detokenizer
from worker.engine.errors import ModelRefused
from worker.engine.loading import LoadedModel
from worker.engine.tokenizer import Tokenizer, load_tokenizer


def pieces(tokenizer: Tokenizer, ids: list[int], prompt: list[int] | None = None) -> list[str]:
    growing = detokenizer(tokenizer, prompt or [])
    return [*(growing.push([token]) for token in ids), growing.flush()]


@given(text=st.text(max_size=60))
def test_emitted_pieces_join_to_the_text_and_never_hold_half_a_character(loaded: LoadedModel, text: str) -> None:
    text = text.replace(REPLACEMENT, "")
    emitted = pieces(loaded.tokenizer, loaded.tokenizer.encode(text))

    assert "".join(emitted) == text
    assert REPLACEMENT not in "".join(emitted)


@given(ids=st.lists(st.integers(1, 399), max_size=60))
def test_any_ids_come_out_as_the_tokenizer_decodes_them(loaded: LoadedModel, ids: list[int]) -> None:
    assert "".join(pieces(loaded.tokenizer, ids)) == loaded.tokenizer.decode(ids)


@given(ids=st.lists(st.integers(0, 399), max_size=60), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_several_tokens_at_once_add_the_same_text(loaded: LoadedModel, ids: list[int], cuts: list[int]) -> None:
    at_once = detokenizer(loaded.tokenizer, [])
    ends = [0, *sorted(cuts), len(ids)]

    text = "".join(at_once.push(ids[start:end]) for start, end in pairwise(ends)) + at_once.flush()

    assert text == "".join(pieces(loaded.tokenizer, ids))


def test_the_bytes_of_every_token_are_those_the_library_decodes(loaded: LoadedModel) -> None:
    of = loaded.tokenizer.token_bytes
    assert of is not None

    for token in range(400):
        assert of.get(token, b"").decode(errors="replace") == loaded.tokenizer.decode([token])


def test_word_pieces_have_no_bytes_of_their_own(word_piece_folder: Path) -> None:
    assert load_tokenizer(str(word_piece_folder), vocabulary=100, end_ids=frozenset()).token_bytes is None


def test_an_unfinished_character_is_held_back_until_the_end(loaded: LoadedModel) -> None:
    ids = loaded.tokenizer.encode("the 🐉")

    *emitted, flushed = pieces(loaded.tokenizer, ids[:-1])

    assert "".join(emitted) == "the "
    assert set(flushed) == {REPLACEMENT}


def test_peek_shows_what_a_token_would_add_and_changes_nothing(loaded: LoadedModel) -> None:
    growing = detokenizer(loaded.tokenizer, [])
    [token] = loaded.tokenizer.encode("x")

    assert [growing.peek(token), growing.peek(token), growing.push([token])] == ["x"] * 3


def test_the_serialised_form_makes_the_same_tokenizer(loaded: LoadedModel) -> None:
    copy = Backend.from_str(loaded.tokenizer.serialise())

    assert copy.encode("She walks in 春").ids == loaded.tokenizer.encode("She walks in 春")


def test_chinese_word_pieces_join_without_spaces_and_words_keep_theirs(word_piece_folder: Path) -> None:
    tokenizer = load_tokenizer(str(word_piece_folder), vocabulary=100, end_ids=frozenset())
    text = "春眠不觉晓、処処 walking stone 春。"
    ids = tokenizer.encode(text)

    emitted = pieces(tokenizer, ids[1:], ids[:1])

    assert "".join(emitted) == "眠不觉晓、 walking stone 春。"


def test_the_separator_ends_texts_of_a_tokenizer_without_an_end_token(word_piece_folder: Path) -> None:
    tokenizer = load_tokenizer(str(word_piece_folder), vocabulary=100, end_ids=frozenset())

    assert tokenizer.end_ids == {3}


def test_a_tokenizer_whose_ids_exceed_the_vocabulary_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ModelRefused, match=r"largest id is \d+, but a vocabulary of 300"):
        load_tokenizer(str(checkpoint), vocabulary=300, end_ids=frozenset())


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no readable tokenizer"):
        load_tokenizer(str(tmp_path), vocabulary=300, end_ids=frozenset())


@given(text=st.text(max_size=60))
def test_the_bytes_of_tokens_are_those_of_the_text(loaded: LoadedModel, text: str) -> None:
    written = loaded.tokenizer.written()

    assert b"".join(written[token] for token in loaded.tokenizer.encode(text)) == text.encode()


def test_special_tokens_write_nothing(loaded: LoadedModel) -> None:
    assert [token for token, text in enumerate(loaded.tokenizer.written()) if not text] == [0]
