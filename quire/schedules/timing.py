"""When a schedule is due: a cron expression, a recurrence rule of RFC 5545, or one time, in a zone.

A cron expression is read in local time as Debian's cron does: what falls into an hour that is skipped is due right
after it, and what falls into one that comes twice is due once; unless its minute or its hour is a wildcard: that
is due whenever the clock shows it. A rule ignores local times that do not exist, as the RFC has it, and takes the
first of those that come twice, also one of hours or minutes: in an hour that comes twice it is due once.
"""

import re
from calendar import isleap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrulestr

Kind = Literal["cron", "rule", "at"]

HORIZON = timedelta(days=366 * 12)  # 29 February may be eight years away; farther than this is never
RULE = re.compile(r"[A-Z]+=[A-Z0-9,+:;=-]{1,500}")
PARTS = frozenset((
    *("FREQ", "UNTIL", "COUNT", "INTERVAL", "BYMINUTE", "BYHOUR", "BYDAY", "BYMONTHDAY"),
    *("BYYEARDAY", "BYWEEKNO", "BYMONTH", "BYSETPOS", "WKST"),
))  # fmt: skip
STEPS = {"MINUTELY": timedelta(minutes=1), "HOURLY": timedelta(hours=1)}  # those that are within days
# What may never come, and is then looked for hour by hour, or minute by minute.
NOT_WITH = {
    "MINUTELY": frozenset({"BYSETPOS", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYMONTH"}),
    "HOURLY": frozenset({"BYSETPOS"}),
}
FREQUENCIES = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY", *STEPS})
NUMBERS = {
    "BYMINUTE": (0, 59), "BYHOUR": (0, 23), "BYMONTHDAY": (-31, 31), "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53), "BYMONTH": (1, 12), "BYSETPOS": (-366, 366),
}  # fmt: skip
DAY = re.compile(r"([+-]?[0-9]{1,2})?(?:MO|TU|WE|TH|FR|SA|SU)")
WEEKS = {"YEARLY": 53, "MONTHLY": 5}  # the most that the number before a day may be
MOST_A_DAY = 96  # times a day that a rule may name
LONGEST = 500  # characters


class NotATiming(ValueError):
    """An expression that cannot be read; its text says why."""


@dataclass(frozen=True)
class Timing:
    """A series of moments. `start`: the first that may be in it, from which a rule counts."""

    kind: Kind
    expression: str
    zone: str
    start: datetime

    def check(self) -> None:
        """See that it can be read.

        Raises:
            NotATiming: it cannot.

        """
        zone_of(self.zone)
        if len(self.expression) > LONGEST:
            raise NotATiming(f"should have at most {LONGEST} characters")
        next(self.after(self.start), None)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments of the series after this one, in UTC and in order; some twelve years far at most."""
        moment = max(moment, self.start - timedelta(microseconds=1))
        if self.kind == "at":
            yield from (each for each in [_at(self.expression)] if each > moment)
            return
        end = moment + HORIZON
        for each in self._cron(moment) if self.kind == "cron" else self._rule(moment, end):
            if each > end:
                return
            if each > moment:
                yield each

    def last(self, after: datetime, until: datetime, count: int) -> list[datetime]:
        """Return the last moments after `after` up to `until`, `count` at most, however many there are."""
        span = timedelta(hours=1)
        while True:
            begin = max(after, until - span)
            found: list[datetime] = []
            for each in self.after(begin):
                if each > until:
                    break
                found.append(each)
            if len(found) >= count or begin == after:
                return found[-count:]
            span *= 4

    def _cron(self, moment: datetime) -> Iterator[datetime]:
        if len(self.expression.split()) != 5:
            raise NotATiming("should have five fields: minute, hour, day, month, weekday")
        try:
            series = CronSim(self.expression, moment.astimezone(zone_of(self.zone)))
        except CronSimError as error:
            raise NotATiming(f"is no cron expression: {error}") from None
        for each in series:
            yield each.astimezone(UTC)

    def _rule(self, moment: datetime, end: datetime) -> Iterator[datetime]:
        zone = zone_of(self.zone)
        parts = _parts(self.expression)
        count = int(parts.pop("COUNT")) if "COUNT" in parts else None
        until = parts.pop("UNTIL", None)
        first = self.start.astimezone(zone).replace(tzinfo=None, microsecond=0, second=0)
        last = min(end, _until(until, zone)) if until else end
        # COUNT is of those that exist, so with one they are counted from the first.
        begin = first if count is not None else moment.astimezone(zone).replace(tzinfo=None) - timedelta(hours=1)
        if step := STEPS.get(parts["FREQ"]):  # years of minutes are not walked through
            step *= int(parts.get("INTERVAL", "1"))
            first += max(0, (begin - first) // step) * step
        rule = ";".join(f"{name}={value}" for name, value in parts.items())
        exist = (_in_zone(each, zone) for each in _local(rule, first, begin, end.year + 1))
        for each in islice((each for each in exist if each is not None), count):
            if each > last:
                return
            yield each


def _local(rule: str, first: datetime, begin: datetime, last_year: int) -> Iterator[datetime]:
    """Yield what a rule that counts from `first` has from `begin` on, in local time, up to the end of a year.

    dateutil looks for a next time up to the year 9999, which for a rule that has none takes seconds. So it is
    asked about years shortly before that, in which the calendar is that of the years that are meant.

    Raises:
        NotATiming: it is no rule.

    """
    later = _twin(first.year, last_year - first.year + 1) - first.year
    try:
        series = rrulestr(rule, dtstart=first.replace(year=first.year + later))
    except (ValueError, KeyError, TypeError) as error:
        raise NotATiming(f"is no recurrence rule: {error}") from None
    found = series.xafter(begin.replace(year=begin.year + later), inc=True)
    while (each := _next_of(found)) is not None and each.year - later <= last_year:
        yield each.replace(year=each.year - later)


def _next_of(series: Iterator[datetime]) -> datetime | None:
    try:
        return next(series, None)
    except (ValueError, OverflowError):  # of a date behind the year 9999
        return None


@cache
def _twin(year: int, years: int) -> int:
    """Return the last year from which so many have the leap days and weekdays of those from `year` on.

    The year before them is compared too: a year's first week may begin in it.
    """

    def runs(first: int) -> list[tuple[int, bool]]:
        return [(date(each, 1, 1).weekday(), isleap(each)) for each in range(first - 1, first + years)]

    wanted = runs(year)
    return next((first for first in range(MAXYEAR - years, year, -1) if runs(first) == wanted), year)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(name: str) -> ZoneInfo:
    """Return an IANA zone.

    Raises:
        NotATiming: there is none of that name.

    """
    try:
        if name in _zones():
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        pass
    raise NotATiming(f"there is no time zone {name}")


def _at(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NotATiming("should be an RFC 3339 time with its zone") from None
    if moment.tzinfo is None:
        raise NotATiming("should name its zone")
    return moment.astimezone(UTC)


def _parts(rule: str) -> dict[str, str]:
    text = rule.removeprefix("RRULE:")
    if not RULE.fullmatch(text):
        raise NotATiming("should be as FREQ=WEEKLY;BYDAY=MO;BYHOUR=7;BYMINUTE=30")
    pairs = [part.partition("=") for part in text.split(";") if part]
    parts = {name: value for name, _, value in pairs}
    if len(parts) < len(pairs):
        raise NotATiming("names a part twice")
    if unknown := parts.keys() - PARTS:
        raise NotATiming(f"has a part {min(unknown)} that is not supported")
    if parts.get("FREQ") not in FREQUENCIES:
        raise NotATiming(f"FREQ should be one of {', '.join(sorted(FREQUENCIES))}")
    if wrong := parts.keys() & NOT_WITH.get(parts["FREQ"], frozenset()):
        raise NotATiming(f"{min(wrong)} does not go with FREQ={parts['FREQ']}")
    times = [len(parts.get(name, "0").split(",")) for name in ("BYHOUR", "BYMINUTE")]
    if parts["FREQ"] not in STEPS and times[0] * times[1] > MOST_A_DAY:
        raise NotATiming(
            f"names more than {MOST_A_DAY} times a day; what comes more often is of FREQ=HOURLY or MINUTELY"
        )
    for name in ("COUNT", "INTERVAL"):
        if not re.fullmatch(r"[1-9][0-9]{0,3}", parts.get(name, "1")):
            raise NotATiming(f"{name} should be a number from 1 to 9999")
    _check_numbers(parts)
    return parts


def _check_numbers(parts: dict[str, str]) -> None:
    for name, (least, most) in NUMBERS.items():
        for number in parts[name].split(",") if name in parts else ():
            if not re.fullmatch(r"[+-]?[0-9]{1,3}", number) or not _is_within(int(number), least, most):
                raise NotATiming(f"{name} should be of numbers from {least} to {most}, not {number}")
    frequency = "MONTHLY" if "BYMONTH" in parts and parts["FREQ"] == "YEARLY" else parts["FREQ"]
    most = WEEKS.get(frequency, 0)
    for day in parts["BYDAY"].split(",") if "BYDAY" in parts else ():
        if not (found := DAY.fullmatch(day)) or (found[1] and not _is_within(int(found[1]), -most, most)):
            raise NotATiming(f"BYDAY should be of days, as MO or of a month or a year 1MO or -1FR, not {day}")


def _is_within(number: int, least: int, most: int) -> bool:
    """Whether a number is in a range; where that reaches below 0, counts from the end are meant, and 0 is none."""
    return least <= number <= most and (number != 0 or least == 0 < most)


def _until(text: str, zone: ZoneInfo) -> datetime:
    for form, given in (("%Y%m%dT%H%M%SZ", UTC), ("%Y%m%dT%H%M%S", zone), ("%Y%m%d", zone)):
        try:
            found = datetime.strptime(text, form)  # noqa: DTZ007 - its zone is given beside
        except ValueError:
            continue
        whole_day = timedelta(days=1) - timedelta(seconds=1) if form == "%Y%m%d" else timedelta(0)
        return (found + whole_day).replace(tzinfo=given)
    raise NotATiming("UNTIL should be a date or a time, as 20261231T235959Z")


def _in_zone(local: datetime, zone: ZoneInfo) -> datetime | None:
    """Return a local time in UTC, the first if it comes twice; None if it does not exist."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None, fold=0) == local else None
