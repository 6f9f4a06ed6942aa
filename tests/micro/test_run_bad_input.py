"""What the command says and keeps when its input, its pack or its disk is bad."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from runs import Refused, Run, Stream, assert_one_clear_line

from omnilive.cli.main import main
from omnilive.engine.manifest import MANIFEST_NAME
from omnilive_micropack.render import render_stream
from omnilive_micropack.story import make_world


def test_a_missing_source_and_a_file_that_is_no_media_are_refused(
    refused: Refused, micro_pack: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a video " * 100)
    for source in (tmp_path / "absent.mp4", text, tmp_path):
        code, error = refused(micro_pack, source=source)
        assert code == 3 and str(source) in error


def test_a_file_cut_off_before_its_index_is_refused(
    refused: Refused, micro_pack: Path, stream: Stream, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mp4"
    whole = stream.path.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    code, _ = refused(micro_pack, source=cut)
    assert code == 3


def test_a_video_without_sound_is_watched_and_answers_typed_questions(
    run: Callable[..., Run], tmp_path: Path
) -> None:
    silent = tmp_path / "silent.mp4"
    world = make_world(5, 8.0, scene_seconds=(5.0, 8.0))
    render_stream(silent, world, size=(160, 90), fps=4, sound=False)
    result = run(silent, "--ask", "What is this?@6")
    assert result.code == 0
    assert not result.only("source_opened")["has_audio"]
    assert result.only("answer_finished")["utterance"] == -1


def test_sound_without_a_video_is_listened_to_and_answered_from_no_frames(
    run: Callable[..., Run], tmp_path: Path
) -> None:
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(np.zeros(3 * 8_000, np.int16).tobytes())
    result = run(path, "--ask", "What did you hear?@2")
    assert result.code == 0
    evidence = result.only("evidence_chosen")
    assert evidence["frames"] == [] and evidence["visual_tokens"] == 0
    assert result.only("session_ended")["frames"] == 0


def test_a_damaged_stretch_of_a_stream_is_told_and_the_run_goes_on(
    run: Callable[..., Run], stream: Stream, tmp_path: Path
) -> None:
    data = bytearray(stream.path.read_bytes())
    middle = len(data) // 3
    noise = np.random.default_rng(0).integers(0, 256, 3_000, dtype=np.uint8)
    data[middle : middle + len(noise)] = noise.tobytes()
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(bytes(data))
    result = run(damaged)
    assert result.code == 0
    assert result.events("source_notice")
    assert result.only("session_ended")["frames"] >= 15


@pytest.mark.parametrize("ask", ["no time", "What@soon", "@5", "What@-1", "What@nan"])
def test_a_question_without_a_time_is_refused(refused: Refused, micro_pack: Path, ask: str) -> None:
    code, error = refused(micro_pack, "--ask", ask)
    assert code == 2 and "TEXT@SECONDS" in error


def test_a_question_that_is_no_text_is_refused(refused: Refused, micro_pack: Path) -> None:
    code, error = refused(micro_pack, "--ask", "What is \udcff?@1")
    assert code == 2 and "--ask" in error and "UTF-8" in error


def test_a_folder_that_is_no_pack_is_refused(refused: Refused, tmp_path: Path) -> None:
    code, error = refused(tmp_path)
    assert code == 4 and "build_engines.py" in error


def test_a_pack_that_lacks_an_engine_is_refused(refused: Refused, pack_copy: Path) -> None:
    manifest = json.loads((pack_copy / MANIFEST_NAME).read_text())
    del manifest["engines"]["aud_lm"]
    (pack_copy / MANIFEST_NAME).write_text(json.dumps(manifest))
    code, error = refused(pack_copy)
    assert code == 4 and "aud_lm" in error


def test_a_pack_of_another_format_or_architecture_is_refused(
    refused: Refused, pack_copy: Path
) -> None:
    original = json.loads((pack_copy / MANIFEST_NAME).read_text())
    for change in ({"format_version": 99}, {"family": "another"}, {"tables": {}}):
        (pack_copy / MANIFEST_NAME).write_text(json.dumps({**original, **change}))
        code, error = refused(pack_copy)
        assert code == 4 and "Rebuild" in error
    wider = {**original, "memory": {**original["memory"], "hidden": 512}}
    (pack_copy / MANIFEST_NAME).write_text(json.dumps(wider))
    assert refused(pack_copy)[0] == 4


def test_a_pack_with_one_changed_byte_is_refused(refused: Refused, pack_copy: Path) -> None:
    weights = pack_copy / "mem_lm" / "model.onnx.data"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))
    code, error = refused(pack_copy)
    assert code == 4 and "model.onnx.data" in error


@pytest.mark.parametrize("name", ["events.jsonl", "timings.jsonl", "answers.wav"])
def test_a_full_disk_is_one_clear_line_and_keeps_what_was_written(
    stream: Stream,
    micro_pack: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / name).symlink_to("/dev/full")
    code = main(["run", str(stream.path), "--pack", str(micro_pack), "--out", str(folder)])
    assert code == 8
    assert_one_clear_line(capsys.readouterr().err)
    if name != "events.jsonl":
        lines = (folder / "events.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == list(range(1, len(lines) + 1))
        assert lines


def test_an_output_folder_that_cannot_be_made_is_refused(
    refused: Refused, micro_pack: Path, tmp_path: Path
) -> None:
    (tmp_path / "refused").write_text("a file is in the way")
    code, _ = refused(micro_pack)
    assert code == 8
