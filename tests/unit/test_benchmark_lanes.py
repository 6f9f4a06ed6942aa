"""The lanes benchmark's bars: what is held against them, and what is printed."""

from __future__ import annotations

import io
import json

from rich.console import Console

from lane_bars import Row, as_json, missed, table

MET = Row("met", "µs", (1.0, 2.0, 9.0), "p50", 2.0)
MISSED = Row("missed", "µs", (1.0, 2.0, 9.0), "maximum", 8.0)
RATE = Row("rate", "jobs/s", (300.0,), "p50", 200.0, at_least=True)
FREE = Row("free", "µs", (5.0,))


def test_the_named_quantile_is_held_against_the_bar() -> None:
    assert MET.holds is True and MISSED.holds is False
    assert RATE.holds is True
    assert Row("slow", "jobs/s", (100.0,), "p50", 200.0, at_least=True).holds is False
    assert FREE.holds is None


def test_a_bar_without_samples_is_missed() -> None:
    assert Row("nothing", "ms", (), "p99", 5.0).holds is False
    assert missed([MET, MISSED, FREE]) == (MISSED,)


def test_every_distribution_stands_beside_its_bar() -> None:
    text = io.StringIO()
    Console(file=text, width=150).print(table([MET, MISSED, RATE, FREE]))
    lines = {line.split()[0]: line for line in text.getvalue().splitlines() if line.strip()}
    assert "p50 ≤ 2.00" in lines["met"] and lines["met"].rstrip().endswith("met")
    assert "maximum ≤ 8.00" in lines["missed"] and "MISSED" in lines["missed"]
    assert "p50 ≥ 200" in lines["rate"]
    assert "≤" not in lines["free"] and "≥" not in lines["free"]


def test_the_json_says_what_was_measured_and_whether_it_holds() -> None:
    met, nothing = as_json([MET, Row("nothing", "ms", ())])
    assert met["summary"]["p50"] == 2.0 and met["holds"] is True
    assert nothing["summary"] is None
    json.dumps([met, nothing])
