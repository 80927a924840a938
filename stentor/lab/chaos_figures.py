"""What trials came to: one value a trial, and tables of their distribution. Pure."""

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

Row = tuple[str, ...]
PERCENTS = (50, 90, 99)


class Http(msgspec.Struct, frozen=True):
    """The client's requests to one VIP of the victim. `gap_ms`: between two that were answered."""

    vip: str
    asked: int
    lost: int
    gap_ms: float


class TwoVoices(msgspec.Struct, frozen=True):
    """A span in which more than one LLADDR spoke for a VIP. `at_ms` counts from the fault."""

    vip: str
    at_ms: float
    length_ms: float
    frames: int
    voices: tuple[str, ...]
    healing: bool  # it began after the victim was put back
    allowed_ms: float  # what the rules of ownership allow


class Setting(msgspec.Struct, frozen=True, order=True):
    """The lab of a trial. `load` is the number of busy loops beside it."""

    nodes: int = 3
    load: int = 0
    router: bool = True
    detect: str = "beats"

    @property
    def place(self) -> str:
        """All but the way of detection, which trials are compared by, in words."""
        beside = f"{self.load} busy loops" if self.load else "idle"
        return f"{self.nodes} nodes, {beside}{'' if self.router else ', no router'}"


class Trial(msgspec.Struct, frozen=True):
    """
    One fault, from shortly before it until the lab had settled again.

    `first_words_ms`: VIP of the victim -> time from the fault to the first frame of another owner,
    None where there was none. `problem` is empty for a trial that went as a trial should: what the
    speakers did wrong is in the figures.
    """

    setting: Setting
    fault: str
    number: int
    victim: str
    uncertain_ms: float = 0.0  # how long the fault itself took
    first_words_ms: dict[str, float | None] = {}
    http: tuple[Http, ...] = ()
    healing_http_lost: int = 0
    asked: int = 0
    unanswered: int = 0
    silence_ms: float = 0.0
    healing_unanswered: int = 0
    two_voices: tuple[TwoVoices, ...] = ()
    strayed: tuple[str, ...] = ()
    listener_lost: int = 0
    restored_s: float = 0.0
    took_s: float = 0.0
    problem: str = ""

    @property
    def detect(self) -> str:
        """How the lab notices that a node is gone."""
        return self.setting.detect

    @property
    def first_ms(self) -> float | None:
        """Time from the fault to the first frame of a new owner, for whichever VIP came first."""
        return min((ms for ms in self.first_words_ms.values() if ms is not None), default=None)

    @property
    def last_ms(self) -> float | None:
        """The same for the VIP that came last; None when one was never taken over."""
        times = [ms for ms in self.first_words_ms.values() if ms is not None]
        whole = bool(times) and len(times) == len(self.first_words_ms)
        return max(times) if whole else None

    @property
    def http_gap_ms(self) -> float | None:
        """The longest gap of the client's requests."""
        return max((http.gap_ms for http in self.http), default=None)

    @property
    def broke_one_voice(self) -> int:
        """How many frames contradicted who had the last word."""
        return sum(span.frames for span in self.two_voices)

    @property
    def broke_beyond(self) -> int:
        """Those of them in spans longer than the rules allow."""
        return sum(s.frames for s in self.two_voices if s.length_ms > s.allowed_ms)


MEASURES: tuple[tuple[str, Callable[[Trial], float | None]], ...] = (
    ("first frame", lambda t: t.first_ms),
    ("last VIP", lambda t: t.last_ms),
    ("HTTP gap", lambda t: t.http_gap_ms),
    ("VIP silent", lambda t: t.silence_ms),
)


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that `percent` of all are not above (nearest rank); `values` not empty."""
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def groups(trials: Iterable[Trial]) -> dict[tuple[str, str], list[Trial]]:
    """Trials without a problem by detection and fault, in order of first appearance."""
    grouped: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        grouped.setdefault((trial.detect, trial.fault), [])
        if not trial.problem:
            grouped[trial.detect, trial.fault].append(trial)
    return grouped


def times_table(trials: Sequence[Trial]) -> list[Row]:
    """Milliseconds per fault and measure. `N` counts the trials that have that measure."""
    rows: list[Row] = [
        ("DETECT", "FAULT", "MEASURE (ms)", "N", "MIN", *(f"P{p}" for p in PERCENTS), "MAX")
    ]
    for (detect, fault), group in groups(trials).items():
        for name, measure in MEASURES:
            values = [ms for trial in group if (ms := measure(trial)) is not None]
            if values:
                spread = [min(values), *(percentile(values, p) for p in PERCENTS), max(values)]
                texts = [f"{value:.1f}" for value in spread]
                rows.append((detect, fault, name, str(len(values)), *texts))
    return rows


def totals_table(trials: Sequence[Trial]) -> list[Row]:
    """
    Counts per fault.

    REQUESTS and QUESTIONS: lost or unanswered of all, from just before the fault until it was
    over; HEALING: requests and questions lost after that. BROKE: frames that broke One voice,
    those beyond what the rules allow, and the longest span. STRAYED: VIPs that moved and should
    not have.
    """
    rows: list[Row] = [
        (
            *("DETECT", "FAULT", "TRIALS", "FAILED", "NOT TAKEN", "REQUESTS LOST"),
            *("QUESTIONS UNANSWERED", "HEALING", "BROKE", "BEYOND", "LONGEST", "STRAYED"),
        )
    ]
    failed: dict[tuple[str, str], int] = {}
    for trial in trials:
        key = (trial.detect, trial.fault)
        failed[key] = failed.get(key, 0) + bool(trial.problem)
    for key, group in groups(trials).items():
        rows.append((*key, str(len(group)), str(failed[key]), *_counts(group)))
    return rows


def _counts(group: Sequence[Trial]) -> Row:
    untaken = sum(ms is None for trial in group for ms in trial.first_words_ms.values())
    requests = [http for trial in group for http in trial.http]
    spans = [span.length_ms for trial in group for span in trial.two_voices]
    healing = (sum(t.healing_http_lost for t in group), sum(t.healing_unanswered for t in group))
    return (
        str(untaken),
        f"{sum(http.lost for http in requests)}/{sum(http.asked for http in requests)}",
        f"{sum(trial.unanswered for trial in group)}/{sum(trial.asked for trial in group)}",
        f"{healing[0]}+{healing[1]}",
        str(sum(trial.broke_one_voice for trial in group)),
        str(sum(trial.broke_beyond for trial in group)),
        f"{max(spans, default=0.0):.1f} ms",
        str(sum(len(trial.strayed) for trial in group)),
    )


def doubts(trials: Sequence[Trial]) -> list[str]:
    """What a reader of the tables has to know about how exact they are."""
    slowest_ms = max((trial.uncertain_ms for trial in trials), default=0.0)
    said = [f"times count from the beginning of a fault; faults took up to {slowest_ms:.1f} ms"]
    deaf = [trial.listener_lost for trial in trials if trial.listener_lost]
    if deaf:
        said.append(
            f"the listener lost {sum(deaf)} frames in {len(deaf)} trials, whose answers count as"
            " missing and whose second voices as unheard"
        )
    return said


def ratio_table(trials: Sequence[Trial], slow: str, fast: str) -> list[Row]:
    """How many times longer the median first frame and HTTP gap take with `slow` detection."""
    rows: list[Row] = [
        ("FAULT", *(f"{name}, {slow}/{fast}" for name in ("FIRST FRAME", "HTTP GAP")))
    ]
    grouped = groups(trials)
    for detect, fault in grouped:
        if detect == slow and (fast, fault) in grouped:
            both = grouped[slow, fault], grouped[fast, fault]
            rows.append((fault, _ratio(both, MEASURES[0][1]), _ratio(both, MEASURES[2][1])))
    return rows


def _ratio(
    both: tuple[Sequence[Trial], Sequence[Trial]], measure: Callable[[Trial], float | None]
) -> str:
    medians = []
    for group in both:
        values = [ms for trial in group if (ms := measure(trial)) is not None]
        medians.append(percentile(values, 50) if values else 0.0)
    return f"{medians[0] / medians[1]:.1f}" if all(medians) else "-"
