"""The latency benchmark's arithmetic: what each measure spans, and what it does without samples."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from measures import MEASURES, RunSamples, measure_run, pooled
from omnilive import events
from omnilive.errors import ConfigError
from omnilive.report.reading import read_run
from report_runs import RunWriter, S
from results import figures, versions
from showing import chart, table
from truth import Spoken, match, read_truth

MS = 1_000


def measured(run: RunWriter, folder: Path, spoken: tuple[Spoken, ...] = ()) -> RunSamples:
    return measure_run(read_run(run.write(folder)), spoken, 300 << 20)


def question_run() -> RunWriter:
    """One question whose voice stops 80 ms before the VAD says so, and its answer."""
    run = RunWriter()
    run.start(20 * S, clock="monotonic")
    run.hear(0, 1, 4 * S, 5_580_000, "What is that?", endpoint_us=500 * MS)
    run.answer(0, 1, 6_500_000, ["A cup."])
    return run


SPOKEN = Spoken(3_950_000, 5_500_000, "What is that?")


def test_waits_start_at_the_last_voiced_sample_of_the_source_not_at_the_vads_end(
    tmp_path: Path,
) -> None:
    found = measured(question_run(), tmp_path, (SPOKEN,)).samples
    assert found["endpoint_delay"] == (580 * MS,)
    assert found["speech_to_transcript"] == (760 * MS,)
    assert found["speech_to_first_token"] == (1_420 * MS,)
    # two words of 45 ms each, then 40 ms of synthesis
    assert found["speech_to_first_audio"] == (1_550 * MS,)
    assert found["endpoint_to_first_audio"] == (970 * MS,)
    assert found["onset_delay"] == (210 * MS,)


def test_without_truth_nothing_is_measured_from_the_sources_own_speech(tmp_path: Path) -> None:
    found = measured(question_run(), tmp_path).samples
    assert "endpoint_to_first_audio" in found
    assert not {
        "endpoint_delay",
        "onset_delay",
        "speech_to_transcript",
        "speech_to_first_token",
        "speech_to_first_audio",
        "barge_in_to_silence",
    } & set(found)


def test_an_utterance_that_ended_before_its_item_did_gives_no_wait(tmp_path: Path) -> None:
    late = Spoken(SPOKEN.start_us, 6_400_000, SPOKEN.text)
    found = measured(question_run(), tmp_path, (late,)).samples
    assert "speech_to_first_token" not in found
    assert "onset_delay" in found


def test_frames_are_measured_from_their_pts_and_their_lag_leaves_the_work_out(
    tmp_path: Path,
) -> None:
    run = RunWriter()
    run.start(3 * S)
    run.add(1_030_000, events.FrameEncoded(S, 0, None, "kf"), 12 * MS, "see")
    run.add(2_090_000, events.FrameEncoded(2 * S, 0, 0.9, "kf"))
    run.add(2_500_000, events.FrameDropped(2_400_000))
    result = measured(run, tmp_path)
    assert result.samples["frame_to_feature"] == (30 * MS, 90 * MS)
    assert result.samples["frame_lag"] == (18 * MS,)
    assert (result.frames, result.frames_dropped) == (2, 1)


def test_a_clip_is_in_memory_once_it_is_integrated(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(20 * S)
    run.clips([4, 5], pictures=False)
    # of a question about the open clip: no clip closed for it
    run.add(30 * S, events.MemoryIntegrated(2, 2))
    assert measured(run, tmp_path).samples["clip_to_memory"] == (70 * MS,)


def barge_in_run(*, finished: bool, silenced_us: int) -> RunWriter:
    """A question, an answer, and a second utterance that stops it."""
    run = question_run()
    run.rows = [r for r in run.rows if not isinstance(r[1], events.AnswerFinished)]
    run.add(8_200_000, events.AnswerInterrupted(0, 1, 2, silenced_us, finished))
    run.hear(1, 2, 8_040_000, 9 * S, "Stop.")
    return run


STOP = Spoken(8 * S, 9 * S, "Stop.")


def test_silence_is_measured_from_the_first_voiced_sample_of_the_interruption(
    tmp_path: Path,
) -> None:
    run = barge_in_run(finished=True, silenced_us=900 * MS)
    found = measured(run, tmp_path, (SPOKEN, STOP)).samples
    assert found["barge_in_to_silence"] == (200 * MS,)
    assert "barge_in_to_decode_stop" not in found


def test_a_stop_in_mid_decode_counts_the_step_in_flight(tmp_path: Path) -> None:
    run = barge_in_run(finished=False, silenced_us=0)
    found = measured(run, tmp_path, (SPOKEN, STOP)).samples
    assert found["barge_in_to_decode_stop"] == (203 * MS,)
    assert "barge_in_to_silence" not in found


def test_a_typed_question_is_no_barge_in(tmp_path: Path) -> None:
    run = question_run()
    run.add(8_200_000, events.AnswerInterrupted(0, 1, 2, 900 * MS, True))
    run.add(8_200_000, events.Transcribed(-1, 2, "And now?", "en", True, 0))
    assert "barge_in_to_silence" not in measured(run, tmp_path, (SPOKEN,)).samples


def test_rates_come_from_the_answers_own_events(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(10 * S)
    run.add(
        S,
        events.EvidenceChosen(-1, 1, (), 1, 10, 0, 490, 500, "", 90.0, (), 0),
        50 * MS,
        "evidence",
    )
    tokens = [events.TokenDecoded(-1, 1, i, "a") for i in range(5)]
    for i, token in enumerate(tokens):
        run.add(1_260_000 + 20 * MS * i, token, 10 * MS, "decode")
    run.time(tokens[0], "prefill", 240 * MS)
    found = measured(run, tmp_path).samples
    assert found["prefill_rate"] == pytest.approx((500 / 0.25,))
    assert found["decode_rate"] == pytest.approx((4 / 0.08,))
    # 50 ms of evidence, 240 ms of prefill and 5 steps of 10 ms in 10 s
    assert found["real_time_factor"] == pytest.approx((0.034,))


def test_an_empty_log_has_only_the_memory_of_the_process(tmp_path: Path) -> None:
    assert dict(measured(RunWriter(), tmp_path).samples) == {"peak_rss": (300 << 20,)}


spans = st.tuples(st.integers(0, 60 * S), st.integers(1, 5 * S)).map(lambda t: (t[0], sum(t)))


@given(st.lists(spans, max_size=8), st.dictionaries(st.integers(0, 9), spans, max_size=8))
def test_matching_accounts_for_every_item_and_invents_no_utterance(
    said: list[tuple[int, int]], heard: Mapping[int, tuple[int, int]]
) -> None:
    spoken = [Spoken(start, end, "") for start, end in sorted(said)]
    found = match(spoken, heard)
    assert set(found.onset_us) | set(found.end_us) <= set(heard)
    assert set(found.onset_us.values()) <= {s.start_us for s in spoken}
    assert set(found.end_us.values()) <= {s.end_us for s in spoken}
    assert 0 <= found.missed + found.broken <= len(spoken)


def test_an_item_heard_in_two_pieces_starts_with_the_first_and_ends_with_the_last() -> None:
    found = match([Spoken(0, 10 * S, "")], {4: (0, 3 * S), 5: (4 * S, 9 * S)})
    assert (found.onset_us, found.end_us) == ({4: 0}, {5: 10 * S})
    assert (found.missed, found.broken) == (0, 1)


def test_an_utterance_that_spans_two_items_ends_with_the_later() -> None:
    found = match([Spoken(0, S, ""), Spoken(2 * S, 3 * S, "")], {0: (0, 3 * S)})
    assert (found.onset_us, found.end_us) == ({0: 0}, {0: 3 * S})


def test_the_truth_is_read_in_order_of_time_and_other_rows_are_left_alone(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"type": "stream", "name": "x.mp4"},
        {"type": "spoken", "text": "b", "start_us": 5, "end_us": 6},
        {"type": "spoken", "text": "a", "start_us": 1, "end_us": 2},
    ]
    path = tmp_path / "truth.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert read_truth(path) == (Spoken(1, 2, "a"), Spoken(5, 6, "b"))


@pytest.mark.parametrize("line", ["{", "[]", '{"type":"spoken"}', '{"text":"a"}'])
def test_a_row_that_is_no_truth_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text('{"type": "stream"}\n' + line, encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2"):
        read_truth(path)


def test_a_truth_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_truth(tmp_path / "none.jsonl")


def runs_of(**samples: tuple[float, ...]) -> RunSamples:
    return RunSamples(samples, 0, 0, 0, 0, 0)


def test_runs_are_pooled_and_their_medians_kept_apart() -> None:
    runs = [runs_of(frame_lag=(1.0, 2.0, 3.0)), runs_of(frame_lag=(9.0,)), runs_of()]
    assert pooled(runs)["frame_lag"] == (1.0, 2.0, 3.0, 9.0)
    figure = next(f for f in figures(runs) if f.measure.name == "frame_lag")
    assert figure.summary is not None and figure.summary.count == 4
    assert figure.medians == (2.0, 9.0)


def shown(runs: list[RunSamples]) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(table(figures(runs)))
    file: Any = console.file
    return [line.strip() for line in file.getvalue().splitlines()]


def row(lines: list[str], title: str) -> list[str]:
    return next(line for line in lines if line.startswith(title)).removeprefix(title).split("  ")


def test_a_measure_without_samples_says_so_and_shows_no_number() -> None:
    cells = [c.strip() for c in row(shown([runs_of()]), "barge-in → silence") if c.strip()]
    assert cells == ["0", "no samples"]


def test_percentiles_of_few_samples_are_marked() -> None:
    text = " ".join(row(shown([runs_of(frame_lag=tuple(range(1000, 31000, 1000)))]), "frame lag"))
    assert "≈" not in text.split("ms")[1]  # p95 of 30 samples
    assert "≈" in text.split("ms")[2]  # p99 of 30 samples


def test_every_measure_has_a_line_in_the_table_and_the_chart() -> None:
    many = {m.name: tuple(float(v) for v in range(1, 120)) for m in MEASURES}
    found = figures([runs_of(**many)])
    lines, page = shown([runs_of(**many)]), chart(found, {"pack": "<b>"}, ["a <b> machine"])
    for measure in MEASURES:
        assert any(line.startswith(measure.title) for line in lines), measure.title
        assert page.count(f'<th scope="row">{measure.title}</th>') == 1
    assert page.count("<td>119</td>") == len(MEASURES)
    assert "a &lt;b&gt; machine" in page and "<b>" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_versions_name_what_is_installed() -> None:
    assert "numpy" in versions()
