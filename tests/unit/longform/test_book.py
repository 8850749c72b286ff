"""Which window comes next, what it is told, and where parts end."""

from collections.abc import Sequence
from typing import Any

from quire.longform import Guard, Plan, PlannedPart
from quire.pieces import Entry, Piece, fold
from quire.spec import Parameters
from tests.unit.worker.fakes import ByteTokenizer
from worker.creative.longform.book import Book
from worker.creative.longform.composing import carried, names, tail
from worker.creative.longform.drawing import requests

CONTEXT = 256
WORDS = "The sea was grey. Anna looked at Tom, and Tom at Anna. They went on. "


def plan(*tokens: int, window: int = 32, **fields: Any) -> Plan:
    parts = tuple(PlannedPart(heading=f"Chapter {n}", tokens=each) for n, each in enumerate(tokens, 1))
    given = {"title": "Sea", "premise": "A voyage.", "form": "novel", "language": "en", "ending": 24}
    return Plan(**given | fields, parts=parts, window=window)


def book(of: Plan, written: Sequence[Piece] = (), seed: int = 7) -> Book:
    return Book(of, seed=seed, context=CONTEXT, tokenizer=ByteTokenizer(), written=written)


def text_from(position: int, count: int) -> tuple[int, ...]:
    """What the model writes at a position: it goes on with the same words for ever."""
    return tuple((WORDS * 100).encode()[position : position + count])


def run(of: Book, log: list[Entry], *, windows: int = 1000) -> None:
    """Write windows as a worker does."""
    for _ in range(windows):
        window = of.next()
        if window is None:
            return
        drawn = text_from(window.start + len(window.drawn), window.tokens - len(window.drawn))
        settled = window.settled - len(window.drawn)
        log.append(of.write(window, drawn[:settled]))
        if window.last:
            log.append(of.end(window, drawn[settled:]))


def test_a_book_is_written_part_by_part_and_each_ends_with_a_sentence() -> None:
    log: list[Entry] = []
    run(book(plan(100, 64)), log)

    first, second = fold(log)
    assert first.text == WORDS + "The sea was grey. Anna looked at Tom, and Tom at Anna."
    assert second.text == WORDS.rstrip()
    assert (first.finish, second.finish) == ("stop", "stop")
    assert bytes(first.ids).decode() == first.text


def test_a_part_of_verse_ends_with_a_line() -> None:
    log: list[Entry] = []
    poem = book(plan(32, form="epic"))
    window = poem.next()
    assert window is not None
    log += [poem.write(window, tuple(b"The sea, the")), poem.end(window, tuple(b" night\nthe st"))]

    assert fold(log) == [Piece(0, tuple(b"The sea, the night"), "The sea, the night", "stop")]


def test_a_part_without_an_end_in_reach_ends_with_a_whole_word() -> None:
    endless = book(plan(32))
    window = endless.next()
    assert window is not None
    endless.write(window, tuple(b"on and on "))
    entry = endless.end(window, tuple(b"and on and o"))

    assert (entry.text, entry.finish) == ("and on and", "length")


def test_a_character_split_between_windows_is_whole() -> None:
    written = book(plan(64, language="zh"))
    window = written.next()
    assert window is not None
    ids = tuple(("月" * 20).encode())
    entries = [written.write(window, ids[:32]), written.write(window, ids[32:])]

    assert entries[0].text == "月" * 10
    assert entries[1].text == "月" * 10


def logged(piece: Piece, count: int, settled: int) -> Piece:
    """Return a part as it was committed: its last tokens come together with its end."""
    if count == len(piece.ids):
        return piece
    ids = piece.ids[: min(count, settled)]
    return Piece(piece.index, ids, bytes(ids).decode())


def test_windows_begin_where_the_plan_says_wherever_the_last_run_stopped() -> None:
    of = plan(100, 64)
    log: list[Entry] = []
    run(book(of), log)
    whole = fold(log)
    everything = [(piece.index, token) for piece in whole for token in piece.ids]

    for stop in range(0, len(everything), 7):
        ids: dict[int, list[int]] = {}
        for index, token in everything[:stop]:
            ids.setdefault(index, []).append(token)
        written = [logged(whole[index], len(tokens), of.parts[index].tokens) for index, tokens in ids.items()]
        resumed = book(of, written)
        log = [Entry(piece.index, piece.ids, piece.text, piece.finish) for piece in written]
        run(resumed, log)
        assert fold(log) == whole


def test_each_window_has_a_seed_of_its_own() -> None:
    of, seeds = book(plan(100, 64)), []
    while (window := of.next()) is not None:
        seeds.append(window.seed)
        run(of, [], windows=1)

    assert len(set(seeds)) == len(seeds) == 6
    assert all(0 <= seed < 2**53 for seed in seeds)
    again = book(plan(100), seed=8).next()
    assert again is not None
    assert again.seed not in seeds


def test_a_prompt_holds_the_opening_the_names_and_the_last_sentences() -> None:
    of, prompts = book(plan(192, 64)), []
    while (window := of.next()) is not None:
        prompts.append(bytes(window.prompt).decode())
        assert len(window.prompt) + window.tokens <= CONTEXT
        run(of, [], windows=1)

    assert prompts[0] == "Sea\n\nA voyage.\n\nChapter 1\n\n"
    assert prompts[5].startswith("Sea\n\nA voyage.\n\nWith Tom, Anna.\n\n")
    assert all(prompt.startswith("Sea\n\nA voyage.\n\n") for prompt in prompts)
    tail = prompts[5].removeprefix("Sea\n\nA voyage.\n\nWith Tom, Anna.\n\n")
    assert tail.lstrip().startswith(("The sea", "Anna looked", "They went"))
    assert (WORDS * 100)[:160].endswith(tail)
    assert prompts[6].endswith("\n\nChapter 2\n\n")


def test_a_prompt_under_a_header_tells_the_names_that_the_header_does_not() -> None:
    told = plan(192, header="<en><story>Sea|voyage\n", premise="A voyage of Tom and Anna.")
    of, prompts = book(told), []
    while (window := of.next()) is not None:
        prompts.append(bytes(window.prompt).decode())
        run(of, [], windows=1)

    assert prompts[0] == "<en><story>Sea|voyage\nChapter 1\n"
    assert prompts[5].startswith("<en><story>Sea|voyage\nWith Tom, Anna.\n")


def test_the_last_that_was_written_begins_with_a_sentence() -> None:
    for most in range(90, 160):
        told = bytes(tail(tuple((WORDS * 5).encode()), most, verse=False, tokenizer=ByteTokenizer())).decode()
        assert told.startswith((" The sea", " Anna looked", " They went")), told


def test_the_spans_of_a_book_are_kept_and_grow_with_it() -> None:
    of, kept = book(plan(100, 64)), []
    while (window := of.next()) is not None:
        assert window.spans is not None
        assert len(window.spans) == len(window.before)
        kept.append(window.spans)
        run(of, [], windows=1)

    assert all(spans is kept[0] for spans in kept)


def test_the_first_window_is_kept_from_repeating_itself_too() -> None:
    of = plan(64, guard=Guard(no_repeat=3))
    window = book(of).next()
    assert window is not None

    request = requests(window, of.parts[0], Parameters(), of.guard, vocabulary=257)[0]

    assert request.constraint is not None
    constraint = request.constraint()
    for token in (1, 2, 3, 1, 2):
        constraint.accept(token)
    allowed = constraint.allowed()
    assert allowed is not None
    assert not allowed[3]


def test_a_chinese_prompt_holds_the_words_that_recur() -> None:
    of = plan(128, language="zh", premise="山中的故事。")
    text = "林黛玉看着月光。风来了,林黛玉说:月光真好。他在山中,不在山中。长江很长。长江的月光。"

    assert names(of, text) == ["月光", "林黛玉", "长江"]
    assert bytes(carried(of, text, ByteTokenizer())).decode() == "有月光、林黛玉、长江。\n\n"


def test_as_many_names_are_told_as_there_is_room_for() -> None:
    people = ["Annabella", "Bartholomew", "Christopher", "Dorothea", "Evangeline"]
    text = " ".join(f"then {name} came, and {name} went." for name in people)

    told = bytes(carried(plan(64), text, ByteTokenizer())).decode()

    assert told == "With Annabella, Bartholomew, Christopher.\n\n"


def test_a_book_that_goes_on_with_another_remembers_it() -> None:
    of = Book(
        plan(64),
        seed=7,
        context=CONTEXT,
        tokenizer=ByteTokenizer(),
        written=(),
        before=tuple((WORDS * 3).encode()),
    )
    window = of.next()
    assert window is not None
    prompt = bytes(window.prompt).decode()

    assert "With Tom, Anna." in prompt
    assert prompt.endswith("They went on. \n\nChapter 1\n\n")
