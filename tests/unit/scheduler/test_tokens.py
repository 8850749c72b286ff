import pytest

from scheduler.tokens import missing


@pytest.mark.parametrize(
    ("startable", "free_slots", "waiting", "lack"),
    [
        (10, 4, 0, 4),  # no more than there are slots to use them
        (3, 8, 0, 3),  # no more than there are jobs
        (10, 4, 3, 1),  # those that wait already count
        (10, 4, 4, 0),
        (10, 4, 9, 0),
        (10, 0, 0, 0),
        (0, 4, 0, 0),
    ],
)
def test_a_queue_lacks_a_token_for_each_slot_that_could_run_a_job(
    startable: int, free_slots: int, waiting: int, lack: int
) -> None:
    assert missing(startable, free_slots, waiting) == lack
