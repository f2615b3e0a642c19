"""How much work is still to come: instructions per day by weekday, shrunk toward the level of recent weeks.

A weekday's rate is its recent mean, pulled toward the mean of all days by two days' worth of evidence; evidence halves
in weight every three weeks, so that the level follows a trend. The work of the rest of today is
estimated from the hours at which earlier work came. A seasonal-naive forecast with shrinkage: a few weeks of history do
not support a richer model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np

_DAY = timedelta(days=1)
_HALF_LIFE_DAYS = 21.0
_WEEKDAY_SHRINKAGE = 2.0  # days
_HOUR_SHRINKAGE = 5.0  # batches, spread evenly over the day
_PRIOR_DAYS = 7.0
_LEAST_DAYS = 0.25  # of evidence, so that the first batch does not imply a huge daily rate


@dataclass(frozen=True)
class Arrival:
    """A batch that came in."""

    at: datetime
    instructions: float


@dataclass(frozen=True)
class Forecast:
    """Instructions still to come, and their standard error: uncertainty of the estimated level, and chance."""

    instructions: float
    std: float


def forecast(
    arrivals: Sequence[Arrival], now: datetime, end: datetime, *, prior_per_day: float | None = None
) -> Forecast:
    """What will arrive after ``now`` and before ``end``.

    The standard error takes batches to come independently (compound Poisson), with sizes like those seen.

    Args:
        arrivals: batches until ``now``, in any order, from this and earlier periods; at least one. Days without a
            batch between the first arrival and now count as days with no work.
        prior_per_day: instructions per day that the user expects, worth a week of evidence.
    """
    seen = [arrival for arrival in arrivals if arrival.at <= now]
    by_day = _by_day(seen, now.date())
    age = np.arange(len(by_day))[::-1]
    weight = 0.5 ** (age / _HALF_LIFE_DAYS)
    exposure = np.ones(len(by_day))
    exposure[-1] = 1.0 - _later_share(seen, _hour(now))
    weekday = np.array([(now.date() - int(days) * _DAY).weekday() for days in age])
    strength = 0.0 if prior_per_day is None else _PRIOR_DAYS
    level = (weight @ by_day + strength * (prior_per_day or 0.0)) / max(_LEAST_DAYS, weight @ exposure + strength)
    came = np.bincount(weekday, weight * by_day, minlength=7)
    days = np.bincount(weekday, weight * exposure, minlength=7)
    rate = (came + _WEEKDAY_SHRINKAGE * level) / (days + _WEEKDAY_SHRINKAGE)
    work = float(rate @ _days_left(now, end, seen))
    size = np.array([arrival.instructions for arrival in seen])
    usual_size = float((size**2).sum() / size.sum())  # of the batch that an instruction finds itself in
    return Forecast(work, math.sqrt(work * usual_size + work**2 * usual_size / float(size.sum())))


def _by_day(seen: Sequence[Arrival], today: date) -> np.ndarray:
    """Instructions of each day from the first arrival's to today."""
    first = min(arrival.at.date() for arrival in seen)
    days = [(arrival.at.date() - first).days for arrival in seen]
    return np.bincount(days, [arrival.instructions for arrival in seen], minlength=(today - first).days + 1)


def _days_left(now: datetime, end: datetime, seen: Sequence[Arrival]) -> np.ndarray:
    """(7,) days of each weekday between ``now`` and ``end``; parts of a day count by the work they usually bring."""
    left = np.zeros(7)
    day = now.date()
    while day <= end.date():
        after = _later_share(seen, _hour(now)) if day == now.date() else 1.0
        beyond = _later_share(seen, _hour(end)) if day == end.date() else 0.0
        left[day.weekday()] += max(0.0, after - beyond)
        day += _DAY
    return left


def _later_share(seen: Sequence[Arrival], hour: float) -> float:
    """The share of a day's work that comes after a time of day, given as a fraction of the day."""
    total = sum(arrival.instructions for arrival in seen)
    evenly = _HOUR_SHRINKAGE * total / len(seen)
    later = sum(arrival.instructions for arrival in seen if _hour(arrival.at) > hour)
    return (later + evenly * (1.0 - hour)) / (total + evenly) if hour > 0 else 1.0


def _hour(at: datetime) -> float:
    return (at - datetime.combine(at.date(), time(), at.tzinfo)) / _DAY
