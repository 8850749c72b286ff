"""When schedules are due: both changes of the clocks in four zones, leap days, and what cannot be read."""

import time
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from dateutil.rrule import rrulestr

from quire.schedules.timing import NotATiming, Timing, zone_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def moments(expression: str, zone: str, after: str, count: int, kind: str = "cron") -> list[str]:
    """The next moments in local time, with their offsets."""
    begin = datetime.fromisoformat(after)
    series = Timing(kind, expression, zone, begin)
    local = zone_of(zone)
    return [each.astimezone(local).isoformat() for each in islice(series.after(begin), count)]


@pytest.mark.parametrize(
    ("zone", "time", "after", "expected"),
    [
        # Clocks go forward: the hour named does not exist, and the moment is right after the gap.
        ("Europe/Paris", "30 2", "2026-03-28T00:00:00+01:00", "28T02:30+01:00 29T03:00+02:00"),
        ("America/New_York", "30 2", "2026-03-07T00:00:00-05:00", "07T02:30-05:00 08T03:00-04:00"),
        ("Australia/Lord_Howe", "15 2", "2026-10-03T00:00:00+10:30", "03T02:15+10:30 04T02:30+11:00"),
        # Clocks go back: the hour comes twice, the moment once.
        ("Europe/Paris", "30 2", "2026-10-24T00:00:00+02:00", "24T02:30+02:00 25T02:30+02:00 26T02:30+01:00"),
        ("America/New_York", "30 1", "2026-10-31T00:00:00-04:00", "31T01:30-04:00 01T01:30-04:00 02T01:30-05:00"),
        (
            "Australia/Lord_Howe",
            "45 1",
            "2026-04-04T00:00:00+11:00",
            "04T01:45+11:00 05T01:45+11:00 06T01:45+10:30",
        ),
        ("Asia/Shanghai", "30 2", "2026-03-28T00:00:00+08:00", "28T02:30+08:00 29T02:30+08:00"),
    ],
)
def test_cron_is_due_once_a_day_through_both_changes(zone: str, time: str, after: str, expected: str) -> None:
    found = moments(f"{time} * * *", zone, after, len(expected.split()))

    assert [each[8:16] + each[-6:] for each in found] == expected.split()


def test_a_wildcard_hour_is_due_in_every_hour_that_there_is() -> None:
    found = moments("0 * * * *", "Europe/Paris", "2026-10-25T01:00:00+02:00", 4)

    assert [each[11:16] + each[-6:] for each in found] == [
        "02:00+02:00",
        "02:00+01:00",
        "03:00+01:00",
        "04:00+01:00",
    ]


def test_the_twenty_ninth_of_february_comes_in_leap_years() -> None:
    found = moments("0 12 29 2 *", "UTC", "2026-01-01T00:00:00+00:00", 2)

    assert found == ["2028-02-29T12:00:00+00:00", "2032-02-29T12:00:00+00:00"]
    rule = moments("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "UTC", "2026-01-01T12:00:00+00:00", 2, "rule")
    assert rule == found


def test_a_rule_ignores_a_time_that_does_not_exist_and_takes_the_first_of_two() -> None:
    rule = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"

    spring = moments(rule, "Europe/Paris", "2026-03-28T00:00:00+01:00", 2, "rule")
    autumn = moments(rule, "Europe/Paris", "2026-10-24T00:00:00+02:00", 3, "rule")

    assert spring == ["2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"]
    assert [each[8:10] + each[-6:] for each in autumn] == ["24+02:00", "25+02:00", "26+01:00"]


@pytest.mark.parametrize(
    ("rule", "after", "expected"),
    [
        # Clocks go forward: what would be in the hour that is left out is left out.
        ("FREQ=HOURLY", "2026-03-29T00:30:00+01:00", "01:00+01:00 03:00+02:00 04:00+02:00"),
        ("FREQ=MINUTELY;INTERVAL=30", "2026-03-29T01:00:00+01:00", "01:30+01:00 03:00+02:00 03:30+02:00"),
        # Clocks go back: the first of the two hours has it.
        ("FREQ=HOURLY", "2026-10-25T00:30:00+02:00", "01:00+02:00 02:00+02:00 03:00+01:00"),
        ("FREQ=MINUTELY;INTERVAL=30", "2026-10-25T02:00:00+02:00", "02:30+02:00 03:00+01:00 03:30+01:00"),
        ("FREQ=MINUTELY;INTERVAL=30", "2026-10-25T02:10:00+01:00", "03:00+01:00 03:30+01:00"),
    ],
)
def test_hours_and_minutes_of_a_rule_are_those_of_the_clock_on_the_wall(
    rule: str, after: str, expected: str
) -> None:
    series = Timing("rule", rule, "Europe/Paris", datetime(2026, 1, 1, tzinfo=UTC))
    local = zone_of("Europe/Paris")
    found = list(islice(series.after(datetime.fromisoformat(after)), len(expected.split())))

    assert [
        each.astimezone(local).isoformat()[11:16] + each.astimezone(local).isoformat()[-6:] for each in found
    ] == (expected.split())


def test_a_rule_of_minutes_keeps_its_steps_for_years_and_is_known_at_once() -> None:
    start = datetime(2019, 1, 1, 0, 3, tzinfo=UTC)
    series = Timing("rule", "FREQ=MINUTELY;INTERVAL=7", "UTC", start)
    begin = time.process_time()

    found = next(series.after(datetime(2026, 11, 28, 12, 0, tzinfo=UTC)))

    assert (found - start) % timedelta(minutes=7) == timedelta()
    assert timedelta() < found - datetime(2026, 11, 28, 12, 0, tzinfo=UTC) <= timedelta(minutes=7)
    assert time.process_time() - begin < 0.5


def test_a_count_is_of_times_that_exist() -> None:
    rule = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;COUNT=2"

    assert len(moments(rule, "Europe/Paris", "2026-03-28T00:00:00+01:00", 9, "rule")) == 2
    series = Timing("rule", rule, "Europe/Paris", datetime.fromisoformat("2026-03-28T00:00:00+01:00"))
    assert list(series.after(datetime(2026, 4, 1, tzinfo=UTC))) == []


def test_the_first_monday_of_each_month_until_a_day() -> None:
    rule = "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9;BYMINUTE=0;UNTIL=20260401"

    found = moments(rule, "Europe/Paris", "2026-01-01T00:00:00+01:00", 9, "rule")

    assert [each[:10] for each in found] == ["2026-01-05", "2026-02-02", "2026-03-02"]


def test_one_time_comes_once() -> None:
    series = Timing("at", "2026-05-01T12:00:00+00:00", "UTC", START)

    assert list(series.after(START)) == [datetime(2026, 5, 1, 12, tzinfo=UTC)]
    assert list(series.after(datetime(2026, 5, 1, 12, tzinfo=UTC))) == []


def test_the_last_moments_of_a_long_time_are_found_without_walking_through_it() -> None:
    series = Timing("cron", "* * * * *", "UTC", START)
    until = START + timedelta(days=300)

    found = series.last(START, until, 3)

    assert found == [until - timedelta(minutes=2), until - timedelta(minutes=1), until]
    assert series.last(until - timedelta(minutes=1), until, 3) == [until]


@pytest.mark.parametrize(
    ("kind", "expression", "zone"),
    [
        ("cron", "* * * *", "UTC"),
        ("cron", "* * * * * *", "UTC"),
        ("cron", "61 * * * *", "UTC"),
        ("cron", "@daily", "UTC"),
        ("cron", "0 0 * * *", "Europe/Atlantis"),
        ("cron", "0 0 * * *", "../../etc/passwd"),
        ("rule", "FREQ=SECONDLY", "UTC"),
        ("rule", "FREQ=MINUTELY;BYHOUR=7;BYMONTH=2;BYMONTHDAY=30", "UTC"),
        ("rule", "FREQ=HOURLY;BYMINUTE=0,30;BYSETPOS=3", "UTC"),
        ("rule", "FREQ=HOURLY;INTERVAL=2;BYHOUR=1", "UTC"),  # START is in an even hour
        ("rule", "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7;BYMINUTE=" + ",".join(map(str, range(60))), "UTC"),
        ("rule", "FREQ=DAILY;COLOUR=RED", "UTC"),
        ("rule", "FREQ=DAILY;FREQ=DAILY", "UTC"),
        ("rule", "FREQ=DAILY;UNTIL=soon", "UTC"),
        ("rule", "FREQ=DAILY;COUNT=0", "UTC"),
        ("rule", "FREQ=MONTHLY;BYDAY=99MO", "UTC"),
        ("rule", "FREQ=MONTHLY;BYDAY=6MO", "UTC"),
        ("rule", "FREQ=YEARLY;BYMONTH=3;BYDAY=6MO", "UTC"),
        ("rule", "FREQ=WEEKLY;BYDAY=1MO", "UTC"),
        ("rule", "FREQ=MONTHLY;BYDAY=MONDAY", "UTC"),
        ("rule", "FREQ=MONTHLY;BYMONTHDAY=0", "UTC"),
        ("rule", "FREQ=MONTHLY;BYMONTHDAY=1,32", "UTC"),
        ("rule", "FREQ=YEARLY;BYYEARDAY=-367", "UTC"),
        ("rule", "FREQ=YEARLY;BYMONTH=-1", "UTC"),
        ("rule", "FREQ=YEARLY;BYWEEKNO=54", "UTC"),
        ("rule", "FREQ=DAILY;BYHOUR=24", "UTC"),
        ("rule", "FREQ=DAILY;BYSETPOS=0", "UTC"),
        ("rule", "every day", "UTC"),
        ("rule", "DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY", "UTC"),
        ("at", "tomorrow", "UTC"),
        ("at", "2026-05-01T12:00:00", "UTC"),
    ],
)
def test_what_cannot_be_read_is_refused(kind: str, expression: str, zone: str) -> None:
    with pytest.raises(NotATiming):
        Timing(kind, expression, zone, START).check()


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",  # day by day up to the year 9999 this would be seconds
        "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYDAY=5MO;BYSETPOS=7",
        "FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MINUTELY;INTERVAL=5040;BYHOUR=12;BYDAY=WE",
    ],
)
def test_what_never_comes_is_known_soon(rule: str) -> None:
    begin = time.process_time()

    assert moments(rule, "Europe/Paris", "2027-01-01T00:00:00+01:00", 1, "rule") == []
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("rule", "start"),
    [
        ("FREQ=DAILY;INTERVAL=3;BYMONTH=1,2", "2026-11-28"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", "2031-12-30"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2024-02-29"),
        ("FREQ=HOURLY;INTERVAL=5;BYDAY=SA", "2024-02-28"),
        ("FREQ=MINUTELY;INTERVAL=45;BYHOUR=9,10", "2024-02-28"),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "2026-01-01"),
        ("FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO,SU", "2026-06-01"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2093-01-01"),  # 2100 is no leap year
        ("FREQ=YEARLY;BYYEARDAY=366", "2996-01-01"),
    ],
)
def test_a_rule_has_the_times_that_dateutil_gives_it(rule: str, start: str) -> None:
    begin = datetime.fromisoformat(f"{start}T07:30:00+00:00")
    expected = [each for each in islice(rrulestr(rule, dtstart=begin), 12) if each < begin + timedelta(days=4300)]

    found = list(islice(Timing("rule", rule, "UTC", begin).after(begin - timedelta(days=1)), len(expected)))

    assert found == expected


def test_a_rule_that_never_comes_is_never_due() -> None:
    assert moments("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "UTC", "2026-01-01T00:00:00+00:00", 1, "rule") == []
    with pytest.raises(NotATiming):
        Timing("cron", "0 0 30 2 *", "UTC", START).check()
