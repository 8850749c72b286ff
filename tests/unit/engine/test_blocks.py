import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from worker.engine.blocks import BLOCK_TOKENS, Blocks, blocks_for

HELLO, WORLD = (1,) * BLOCK_TOKENS, (2,) * BLOCK_TOKENS


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 1), (16, 1), (17, 2), (1024, 64)])
def test_a_begun_block_counts_whole(tokens: int, blocks: int) -> None:
    assert blocks_for(tokens) == blocks


def test_blocks_are_taken_once_and_then_there_are_none() -> None:
    blocks = Blocks(3)

    assert sorted(blocks.take() for _ in range(3)) == [0, 1, 2]
    assert blocks.free == 0
    with pytest.raises(KeyError):
        blocks.take()


def test_a_block_is_free_when_all_that_held_it_have_given_it_back() -> None:
    blocks = Blocks(1)
    block = blocks.take()
    blocks.share(block)

    blocks.give_back(block)
    assert (blocks.free, blocks.is_free(block)) == (0, False)
    blocks.give_back(block)
    assert (blocks.free, blocks.is_free(block)) == (1, True)


def test_what_a_block_holds_is_found_after_its_place_and_nowhere_else() -> None:
    blocks = Blocks(2)
    first, second = blocks.take(), blocks.take()
    after_first = blocks.know(first, "scope", HELLO)
    blocks.know(second, after_first, WORLD)

    assert blocks.find("scope", HELLO) == first
    assert blocks.find(after_first, WORLD) == second
    assert blocks.find("another scope", HELLO) is None
    assert blocks.find("scope", WORLD) is None
    assert blocks.name(first) == after_first


def test_a_free_block_is_found_until_it_is_taken() -> None:
    blocks = Blocks(1)
    block = blocks.take()
    blocks.know(block, "", HELLO)
    blocks.give_back(block)
    assert blocks.find("", HELLO) == block

    blocks.take()

    assert blocks.find("", HELLO) is None


def test_a_found_block_is_no_longer_free() -> None:
    blocks = Blocks(1)
    block = blocks.take()
    blocks.know(block, "", HELLO)
    blocks.give_back(block)

    blocks.share(block)

    assert (blocks.free, blocks.is_free(block)) == (0, False)
    with pytest.raises(KeyError):
        blocks.take()


def test_the_first_of_two_blocks_that_hold_the_same_is_the_one_that_is_found() -> None:
    blocks = Blocks(2)
    first, second = blocks.take(), blocks.take()

    assert blocks.know(first, "", HELLO) == blocks.know(second, "", HELLO)
    assert blocks.find("", HELLO) == first


def test_what_followed_a_forgotten_block_is_not_found_after_what_took_its_place() -> None:
    blocks = Blocks(2)
    first, second = blocks.take(), blocks.take()
    blocks.know(second, blocks.know(first, "", HELLO), WORLD)
    blocks.give_back(first)
    assert blocks.take() == first

    place = blocks.know(first, "", WORLD)

    assert blocks.find(place, WORLD) is None


def test_blocks_that_hold_nothing_are_taken_first_then_the_longest_unused() -> None:
    blocks = Blocks(4)
    taken = [blocks.take() for _ in range(4)]
    for token, block in enumerate(taken[:3]):
        blocks.know(block, "", (token,) * BLOCK_TOKENS)
    for block in (taken[2], taken[0], taken[1], taken[3]):
        blocks.give_back(block)

    assert [blocks.take() for _ in range(4)] == [taken[3], taken[2], taken[0], taken[1]]


class BlocksMachine(RuleBasedStateMachine):
    """Against a model: a list of holders, and of free blocks in the order in which they are taken."""

    places = Bundle("places")

    @initialize(count=st.integers(1, 5), target=places)
    def make(self, count: int) -> str:
        self.blocks = Blocks(count)
        self.order = list(range(count))
        self.held: list[int] = []  # a block as often as it is held
        self.content: dict[int, tuple[object, tuple[int, ...]]] = {}
        self.writable: list[int] = []  # taken, and nothing is known of it
        return ""

    @precondition(lambda self: self.order)
    @rule()
    def take(self) -> None:
        block = self.order.pop(0)
        assert self.blocks.take() == block
        self.content.pop(block, None)
        self.held.append(block)
        self.writable.append(block)

    @precondition(lambda self: self.writable)
    @rule(place=places, token=st.integers(0, 2), target=places)
    def know(self, place: object, token: int) -> object:
        block, what = self.writable.pop(), (place, (token,))
        name = self.blocks.know(block, *what)
        if what not in self.content.values():
            self.content[block] = what
        assert self.blocks.name(next(b for b, held in self.content.items() if held == what)) == name
        return name

    @rule(place=places, token=st.integers(0, 2))
    def share_what_is_found(self, place: object, token: int) -> None:
        found = self.blocks.find(place, (token,))
        assert found == next((block for block, what in self.content.items() if what == (place, (token,))), None)
        if found is not None:
            self.blocks.share(found)
            self.held.append(found)
            self.order = [block for block in self.order if block != found]

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 9))
    def give_back(self, pick: int) -> None:
        block = self.held.pop(pick % len(self.held))
        self.blocks.give_back(block)
        if block not in self.held:
            self.writable = [other for other in self.writable if other != block]
            self.order.insert(len(self.order) if block in self.content else 0, block)

    def teardown(self) -> None:
        assert self.blocks.free == len(self.order)
        assert [self.blocks.is_free(block) for block in range(self.blocks.count)] == [
            block not in self.held for block in range(self.blocks.count)
        ]


TestBlocks = BlocksMachine.TestCase
