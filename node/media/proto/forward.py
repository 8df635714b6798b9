"""Who gets which layer of which video: a plan for all tracks that go down to one device, within what fits there.

The plan is made in two passes over the wanted videos, most important first: everybody gets the lowest layer that fits (in need without its
upper temporal layers), then each is raised as far as its window on the screen is wide. Going down is done at once. Going up waits until
the better plan has fitted for five seconds with 15 % to spare.

*Trials.* A browser that is sent little never finds out that more would fit: its estimate is at most one and a half times what comes, and
grows 8 % a second. So where the estimate is well above what is sent, one step more than is known to fit is sent for some seconds, a video that
is not shown at all before a larger one. A trial ends early when packets are lost or the estimate falls; what the estimate did not grow to
is taken back and tried again after a while that doubles. The most important video is never stopped for want of room; its sender is told to
send less instead (`share`). Below 80 kb/s there is no video at all, and it is tried again in the same way.

`shown` says whose cameras are sent at all (last-N), `Dynacast` how many layers of a track somebody looks at.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from node.base import limits

ALL_TEMPORAL: Final = 3
BASE_SHARE: Final = 0.6  # of the rate of a VP8 layer, that of its temporal base layer
TRIAL_S_MIN: Final = 10.0  # a step up that was taken back is not tried again within this; doubles
TRIAL_S_MAX: Final = 40.0
TRIAL_S: Final = 6.0  # a receiver that is sent more finds out in this time whether there is room for it
FALLEN: Final = 0.9  # an estimate below this part of what it was when a trial began ends the trial
VIDEO_UP_S: Final = 2.0  # like LAYER_UP_S, for a video that is not shown at all


class Choice(NamedTuple):
    """A layer by its key, and the temporal layers that are sent of it."""

    layer: int
    cap: int = ALL_TEMPORAL


class Rate(NamedTuple):
    """A layer that is there: its key, width in pixels, measured rate, and highest temporal layer."""

    layer: int
    width: int
    bps: int
    temporal: int = 0


class Demand(Struct, frozen=True):
    """One video somebody wants, at most `width` pixels wide (more than 0). `rates`: what there is of it, lowest first."""

    key: Hashable
    width: int
    rates: tuple[Rate, ...]

    @property
    def top(self) -> int:
        """Position of the layer that is wide enough."""
        for place, rate in enumerate(self.rates):
            if rate.width >= self.width:
                return place
        return len(self.rates) - 1


class Planner:
    """The plan of one device."""

    __slots__ = (
        "_better_since",
        "_hold_until",
        "_mute_s",
        "_mute_since",
        "_pause_s",
        "_raised_at",
        "_tops",
        "_trial_bps",
        "_trial_until",
        "audio_only",
        "plan",
        "planned_bps",
        "share",
    )

    def __init__(self) -> None:
        self.plan: dict[Hashable, Choice] = {}
        self.planned_bps = 0
        self.share: dict[Hashable, int] = {}
        self.audio_only = False
        self._better_since: float | None = None
        self._hold_until = float("-inf")
        self._pause_s = TRIAL_S_MIN
        self._raised_at = float("-inf")
        self._tops: dict[Hashable, int] = {}
        self._mute_since = 0.0
        self._mute_s = TRIAL_S_MIN
        self._trial_bps = 0
        self._trial_until = float("-inf")

    def make(
        self, demands: Sequence[Demand], *, bps: int, now: float, roomy: bool, calm: bool = True
    ) -> Mapping[Hashable, Choice]:  # fmt: skip
        """The choice for each of `demands` (most important first) that is sent, if `bps` of video fits.
        `roomy`: more may be tried than is known to fit; `calm`: next to nothing is lost."""
        videos = [demand for demand in demands if demand.rates]
        budget = bps
        edge = limits.AUDIO_ONLY_BPS * (limits.LAYER_UP_HEADROOM if self.audio_only else 1)
        if not calm or bps < self._trial_bps * FALLEN:
            self._trial_until = min(self._trial_until, now)
        self.audio_only = bool(videos) and bps < edge and not self._tries_video(bps, now, calm=calm)
        if self.audio_only:
            videos = []
        # What went away or is wider than its window by now is taken back at once.
        known = {demand.key: _clamped(demand, self.plan[demand.key]) for demand in videos if demand.key in self.plan}
        tops = {demand.key: demand.rates[demand.top].layer for demand in videos}
        before, self._tops = self._tops, tops
        fits = _fit(videos, budget)
        if tops.keys() != before.keys():
            # Newcomers get what fits, the others not more than they had.
            chosen = {key: min(choice, known.get(key, choice)) for key, choice in fits.items()}
        elif _cost(videos, known) > budget and not roomy and now >= self._trial_until:
            chosen = fits
            if fits != known:
                self._taken_back(now)
        else:
            target = _fit(videos, int(budget / limits.LAYER_UP_HEADROOM))
            trial = roomy and not _betters(target, known)
            if trial:
                target = _raise_one(videos, known)
            # Whoever asks for more than before need not wait for what is known to fit.
            chosen = self._raised(known, target, now, at_once=tops != before and not trial)
            if trial and chosen != known:
                self._begins_trial(bps, now)
        self.plan = chosen
        self.planned_bps = _cost(videos, chosen)
        self._shares(videos, budget)
        return chosen

    def trying(self, now: float) -> bool:
        """Whether more is sent than is known to fit."""
        return now < self._trial_until

    def _begins_trial(self, bps: int, now: float) -> None:
        self._trial_bps, self._trial_until = bps, now + TRIAL_S

    def _tries_video(self, bps: int, now: float, *, calm: bool) -> bool:
        """Whether video is sent although it does not seem to fit."""
        if not self.audio_only and now >= self._trial_until:  # the need begins, or a trial found no room
            tried = now - self._trial_until < TRIAL_S_MAX
            self._mute_s = min(self._mute_s * 2, TRIAL_S_MAX) if tried else TRIAL_S_MIN
            self._mute_since = now
        elif self.audio_only and calm and now - self._mute_since >= self._mute_s:
            self._begins_trial(bps, now)
        return self.trying(now)

    def _shares(self, videos: Sequence[Demand], budget: int) -> None:
        """What would fit of each video: what is spare beside the others, or a proportional part if it is too much."""
        spare = budget - self.planned_bps
        self.share = {}
        for demand in videos:
            if demand.key in self.plan:
                price = _price(demand, self.plan[demand.key])
                self.share[demand.key] = price + spare if spare >= 0 else price * budget // self.planned_bps

    def _taken_back(self, now: float) -> None:
        self._better_since = None
        if now - self._raised_at < TRIAL_S_MAX:
            self._hold_until = now + self._pause_s
            self._pause_s = min(self._pause_s * 2, TRIAL_S_MAX)
        else:
            self._pause_s = TRIAL_S_MIN

    def _raised(
        self, known: dict[Hashable, Choice], target: dict[Hashable, Choice], now: float, *, at_once: bool
    ) -> dict[Hashable, Choice]:
        if not _betters(target, known) or now < self._hold_until:
            self._better_since = None
            return known
        if self._better_since is None:
            self._better_since = now
        wait = limits.LAYER_UP_S if target.keys() <= known.keys() else VIDEO_UP_S
        if now - self._better_since < wait and not at_once:
            return known
        self._better_since = None
        self._raised_at = now
        return target


def _betters(target: Mapping[Hashable, Choice], known: Mapping[Hashable, Choice]) -> bool:
    """Whether anything of `target` is more than in `known`."""
    return any(key not in known or choice > known[key] for key, choice in target.items())


def _clamped(demand: Demand, choice: Choice) -> Choice:
    """The nearest to `choice` that there is, not wider than it should be."""
    below = [rate.layer for rate in demand.rates[: demand.top + 1] if rate.layer <= choice.layer]
    return Choice(below[-1], choice.cap) if below else Choice(demand.rates[0].layer)


def _price(demand: Demand, choice: Choice) -> int:
    for rate in demand.rates:
        if rate.layer == choice.layer:
            return int(rate.bps * (BASE_SHARE if choice.cap < rate.temporal else 1))
    return 0


def _cost(demands: Iterable[Demand], plan: Mapping[Hashable, Choice]) -> int:
    return sum(_price(demand, plan[demand.key]) for demand in demands if demand.key in plan)


def _fit(demands: Sequence[Demand], budget: int) -> dict[Hashable, Choice]:
    plan: dict[Hashable, Choice] = {}
    for at, demand in enumerate(demands):
        lowest = demand.rates[0]
        whole, thin = Choice(lowest.layer), Choice(lowest.layer, 0 if lowest.temporal else ALL_TEMPORAL)
        if _price(demand, whole) <= budget:
            plan[demand.key] = whole
        elif _price(demand, thin) <= budget or at == 0:
            plan[demand.key] = thin
        else:
            continue
        budget -= _price(demand, plan[demand.key])
    for demand in demands:
        if demand.key not in plan:
            continue
        for rate in demand.rates[1 : demand.top + 1]:
            more = rate.bps - _price(demand, plan[demand.key])
            if more > budget:
                break
            plan[demand.key] = Choice(rate.layer)
            budget -= more
    return plan


def _raise_one(demands: Sequence[Demand], known: dict[Hashable, Choice]) -> dict[Hashable, Choice]:
    """One step more than `known`, for the most important video that is not as wide as it should be."""
    for demand in demands:
        if demand.key not in known:
            return {**known, demand.key: Choice(demand.rates[0].layer)}
    for demand in demands:
        have = known[demand.key]
        if have.cap < ALL_TEMPORAL:
            return {**known, demand.key: Choice(have.layer)}
        for rate in demand.rates[: demand.top + 1]:
            if rate.layer > have.layer:
                return {**known, demand.key: Choice(rate.layer)}
    return known


def shown(candidates: Iterable[bytes], pinned: Iterable[bytes], recent: Sequence[bytes]) -> list[bytes]:
    """Whose cameras are sent, in order of importance: who is pinned, then who spoke last (`recent`, newest first), then the rest; at
    most VIDEOS_SHOWN_MAX."""
    left = set(candidates)
    order = [seat for seat in pinned if seat in left]
    order += [seat for seat in recent if seat in left and seat not in order]
    order += sorted(left.difference(order))
    return order[: limits.VIDEOS_SHOWN_MAX]


class Dynacast:
    """How many layers of one track need to be sent, lowest first: all up to the highest that somebody asks for. More at once, less only
    after the others were not asked for during five seconds."""

    __slots__ = ("_above_at", "said")

    def __init__(self) -> None:
        self.said = -1  # nothing yet, which means all
        self._above_at: list[float] = []

    def update(self, wanted: int, total: int, now: float) -> bool:
        """`wanted` of `total` layers are asked for now; whether `said` changed."""
        self._above_at = (self._above_at + [now] * total)[:total]  # when the layer at each place was asked for
        self._above_at[:wanted] = [now] * wanted
        asked = [place + 1 for place, at in enumerate(self._above_at) if now - at < limits.LAYER_IDLE_S]
        before, self.said = self.said, max(asked, default=0)
        return self.said != before
