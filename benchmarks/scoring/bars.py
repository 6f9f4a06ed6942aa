"""The measures, what they must show, and whether they show it. It measures nothing itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omnilive_micropack.questions import KINDS
from scoring.result import Item, Tallies, baseline_of
from scoring.statistics import Difference, estimate, paired

ITEMS = 1_000
WORDS = 5_000
CUTS = 2 * ITEMS
"""What a bar asks to be measured over: items, words of speech, cuts found and true."""

PRECISION_BAR = 0.015
"""A quantized pack may be worse than the fp32 one by this much, over the same items."""

ROUNDING = 1e-9
"""Differences of fractions are no exact decimals."""

IMPLICIT_KINDS = ("this", "implicit")
"""Kinds whose words do not name what they are about (reference- and semantics-implicit)."""

EXPLICIT_KINDS = tuple(k for k in KINDS if k not in (*IMPLICIT_KINDS, "not_seen"))
LOOKED_UP_KINDS = ("count", "colour", "where")

AGES_S = (60, 300, 900, 1800, 3600, 7200)
"""Upper ends of the ages of evidence that are reported apart, seconds."""

OVER_STREAM, BY_AGE = "Retrieval over 30 minutes", "Retrieval by age"
TEXT, ALOUD = "Answers, asked as text", "Answers, asked aloud"
"""Groups that several functions name."""


@dataclass(frozen=True)
class Measure:
    """A measure as it is told.

    Attributes:
        bar: what the value must reach (``at_least``) or must not exceed; None for none.
        least: how much the bar asks to be measured over, as ``Estimate.weight`` counts it.
        of: measures whose items it pools; empty when it has items of its own.
    """

    name: str
    title: str
    group: str
    at_least: bool = True
    bar: float | None = None
    least: int = ITEMS
    of: tuple[str, ...] = ()

    def meets(self, value: float) -> bool:
        """Whether a value reaches the bar; one without a bar always does."""
        if self.bar is None:
            return True
        return value >= self.bar if self.at_least else value <= self.bar

    def worse_by(self, difference: float) -> float:
        """How much worse a run is that differs by so much from another."""
        return -difference if self.at_least else difference


def _errors(name: str, title: str, bar: float) -> Measure:
    return Measure(name, title, "Hearing", False, bar, WORDS)


def _ages(k: int) -> list[Measure]:
    bounds = list(zip((0, *AGES_S), AGES_S, strict=False))
    return [
        Measure(recall_name(k, upper), f"recall@{k}, {_span(lower, upper)} back", BY_AGE)
        for lower, upper in bounds
    ]


def recall_name(k: int, part: str | int) -> str:
    """The measure of recall@k for ``explicit``, ``implicit``, ``present`` or one of ``AGES_S``."""
    return f"recall{k}_{part}"


def _span(lower_s: int, upper_s: int) -> str:
    return f"{lower_s // 60}–{upper_s // 60} min"


def _answers(way: str, group: str) -> list[Measure]:
    return [
        Measure(f"{way}_{kind}", kind.replace("_", " "), group)
        for kind in KINDS
        if (way, kind) != ("text", "not_seen")
    ]


def _of(way: str, kinds: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{way}_{kind}" for kind in kinds)


MEASURES: tuple[Measure, ...] = (
    _errors("wer_seen_voices", "word errors, voices of training", 0.025),
    _errors("wer_held_out_voices", "word errors, held-out voices", 0.05),
    _errors("wer_noise_10db", "word errors, 10 dB noise", 0.09),
    _errors("wer_stream_20db", "word errors, cut from a stream, 20 dB", 0.06),
    Measure("sound_class", "sound class", "Hearing", bar=0.95),
    Measure("cut_f1", "cut F1, ±1 frame", "Seeing", bar=0.90, least=CUTS),
    Measure("fillers_unanswered", "fillers left unanswered", "Instruction", bar=0.98),
    Measure("questions_answered", "questions answered (recall)", "Instruction", bar=0.98),
    Measure("instruction_precision", "precision", "Instruction"),
    Measure("recall1_explicit", "recall@1, explicit", OVER_STREAM, bar=0.90),
    Measure("recall1_implicit", "recall@1, implicit", OVER_STREAM, bar=0.85),
    Measure("recall4_explicit", "recall@4, explicit", OVER_STREAM),
    Measure("recall4_implicit", "recall@4, implicit", OVER_STREAM),
    Measure("recall1_present", "recall@1, still to be seen", OVER_STREAM),
    Measure("recall4_present", "recall@4, still to be seen", OVER_STREAM),
    *_ages(1),
    *_ages(4),
    Measure("answers_explicit", "explicit", TEXT, bar=0.90, of=_of("text", EXPLICIT_KINDS)),
    Measure("answers_implicit", "implicit", TEXT, bar=0.85, of=_of("text", IMPLICIT_KINDS)),
    Measure(
        "answers_looked_up",
        "counting, colour, where",
        TEXT,
        bar=0.90,
        of=_of("text", LOOKED_UP_KINDS),
    ),
    Measure("text_not_seen", "never shown: not seen", TEXT, bar=0.90),
    Measure("text_wrongly_not_seen", "shown, but: not seen", TEXT, at_least=False),
    *_answers("text", TEXT + ", by kind"),
    Measure("aloud", "all kinds", ALOUD, bar=0.80, of=_of("aloud", KINDS)),
    Measure("aloud_fillers", "fillers left unanswered", ALOUD),
    *_answers("aloud", ALOUD + ", by kind"),
)
BY_NAME: Mapping[str, Measure] = {measure.name: measure for measure in MEASURES}


def items_of(tallies: Tallies, measure: Measure, *, baseline: bool = False) -> list[Item]:
    """The items of a measure, pooled where it pools others; keys stay apart."""
    found: list[Item] = []
    for name in measure.of or (measure.name,):
        held = tallies.get(baseline_of(name) if baseline else name, ())
        found += [Item(f"{name} {i.key}", i.num, i.den) for i in held] if measure.of else held
    return found


@dataclass(frozen=True)
class Verdict:
    """A bar, and the figure beside it; ``value`` is None when nothing was measured.

    Attributes:
        few: measured over fewer items than the bar asks for.
    """

    title: str
    value: float | None
    bar: float
    at_least: bool
    passed: bool
    few: bool


def judge(tallies: Tallies, measured: Sequence[Measure]) -> list[Verdict]:
    """Every bar of ``measured`` with its figure, by value, whatever the interval."""
    verdicts = []
    for measure in measured:
        if measure.bar is None:
            continue
        found = estimate(items_of(tallies, measure))
        verdicts.append(
            Verdict(
                f"{measure.group}: {measure.title}",
                None if found is None else found.value,
                measure.bar,
                measure.at_least,
                found is not None and measure.meets(found.value),
                found is not None and found.weight < measure.least,
            )
        )
    return verdicts


def judge_precision(
    tallies: Tallies, reference: Tallies, measured: Sequence[Measure], label: str
) -> list[Verdict]:
    """For every measure of ``measured``, how much worse than ``reference`` it may be and is."""
    verdicts = []
    for measure in measured:
        found = compared(tallies, reference, measure)
        if found is None:
            continue
        worse = measure.worse_by(found.value)
        verdicts.append(
            Verdict(
                f"{label}: {measure.group}: {measure.title}",
                worse,
                PRECISION_BAR,
                False,
                worse <= PRECISION_BAR + ROUNDING,
                found.weight < measure.least,
            )
        )
    return verdicts


def compared(tallies: Tallies, reference: Tallies, measure: Measure) -> Difference | None:
    """A measure less the reference's over the same items; None when they share none."""
    return paired(items_of(tallies, measure), items_of(reference, measure))
