"""The audio stage: the trained arithmetic is the reference's, and a killed run goes on exactly."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from omnilive.perception.audio_model import CLASSIFY, TRANSCRIBE
from omnilive_export.quantize import BlockFormat, dequantize_rows, quantize_rows
from omnilive_export.verify.reference import load_references
from omnilive_micropack.dimensions import MICRO
from omnilive_micropack.training import asr, common, rounding
from omnilive_micropack.training.asr_batches import Batches, Texts
from omnilive_micropack.training.asr_loss import sequence
from omnilive_micropack.training.asr_model import AudioModel
from omnilive_micropack.weights import sinusoids


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    asr.run(out, plan=asr.QUICK)
    return out


@pytest.fixture(scope="module")
def model(trained: Path) -> AudioModel:
    model = AudioModel(MICRO)
    tensors = load_file(trained / "audio" / "model.safetensors")
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    return model.eval()


def test_what_is_trained_computes_what_the_reference_does(trained: Path, model: AudioModel) -> None:
    rng = np.random.default_rng(0)
    clips = [
        (rng.standard_normal(n) * 0.1 * np.hanning(n)).astype(np.float32) for n in (9_000, 14_321)
    ]
    pcm = torch.zeros(2, 14_321)
    for row, clip in zip(pcm, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    texts = Texts(trained / "audio")
    written = torch.tensor([[5, 6, 7], [8, 9, 10]])
    with torch.no_grad():
        heard = model.hear(*model.features(pcm, torch.tensor([len(c) for c in clips])))
        embeds, last = sequence(model, heard, TRANSCRIBE, texts, written)
        states, _ = model.decoder(embeds)
        logits = model.decoder.scores(states).numpy()
    reference = load_references().qwen2_audio
    encoder = reference.AudioEncoder(trained / "audio")
    language = reference.AudioLanguage(trained / "audio")
    for i, clip in enumerate(clips):
        audio = encoder(clip)
        ours = heard.embeds[i, : int(heard.counts[i])].numpy()
        assert np.abs(ours - audio).max() < 1e-4 * np.sqrt(np.mean(audio**2))
        after = [*texts.after[TRANSCRIBE], *written[i].tolist()]
        prompt = np.concatenate([language.embed(texts.before), audio, language.embed(after)])
        wanted = language.logits(prompt)
        assert int(last[i]) == len(prompt) - 1 - written.shape[1]
        difference = np.abs(logits[i, : len(prompt)] - wanted).max()
        assert difference < 1e-4 * np.sqrt(np.mean(wanted**2))


def test_positions_stay_whispers_sines(model: AudioModel) -> None:
    dims = MICRO.audio_encoder
    table = model.audio_tower.embed_positions.weight.numpy()
    assert np.abs(table - sinusoids(dims.source_positions, dims.width)).max() < 2**-8


def test_a_killed_run_goes_on_to_the_same_weights(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Batches.speech

    def killed(self: Batches, step: int) -> object:
        if step == 3:
            raise KeyboardInterrupt
        return drawn(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "speech", killed)
        with pytest.raises(KeyboardInterrupt):
            asr.run(tmp_path, plan=asr.QUICK)
    assert not (tmp_path / "audio" / "model.safetensors").exists()
    asr.run(tmp_path, plan=asr.QUICK)
    name = Path("audio") / "model.safetensors"
    assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_the_folder_says_it_is_trained_and_the_card_what_it_cost(trained: Path) -> None:
    assert json.loads((trained / "audio" / "config.json").read_text())["omnilive_trained"] is True
    card = json.loads((trained / "card" / "asr.json").read_text())
    (run,) = card["runs"]
    assert run["from_step"] == 0
    assert run["plan"]["cycles"] == [[4, 1e-3]]
    assert card["sentences"] > 10
    assert card["training_seconds"] > 0


def test_each_cycle_of_the_rate_rises_and_falls_to_zero() -> None:
    cycles = ((100, 1e-3), (50, 5e-4))
    rates = [common.cycled_rate(step, cycles, 10) for step in range(151)]
    assert max(rates[:100]) == rates[9] == pytest.approx(1e-3)
    assert max(rates[100:]) == rates[109] == pytest.approx(5e-4)
    assert rates[99] < 1e-5
    assert rates[149] < 1e-5
    assert rates[150] == 0.0
    assert all(a >= b for a, b in itertools.pairwise(rates[9:100]))


def test_words_are_labelled_where_they_sound(trained: Path) -> None:
    texts = Texts(trained / "audio")
    takes = [t for t in asr.record_takes(60, 7) if t.sentence.language == "en"]
    batch = Batches(takes, texts, 7).speech(0)
    assert batch.instruction == TRANSCRIBE
    for target, windows, words in zip(batch.targets, batch.windows, batch.words, strict=True):
        count = int((target >= 0).sum())
        if count <= 2:
            continue
        said = [texts.decode([int(i)]) for i in target[1 : count - 1]]
        classes = [int(words[(first + end) // 2]) for first, end in windows[1 : count - 1].tolist()]
        same = {(a, b) for a, b in zip(said, classes, strict=True)}
        assert len(same) == len(set(said)) == len(set(classes))
        assert (windows[1 : count - 1, 1] > windows[1 : count - 1, 0]).all()
        assert (windows[2:count, 0] >= windows[1 : count - 1, 0]).all()


def test_sound_batches_hold_the_label_and_no_words(trained: Path) -> None:
    texts = Texts(trained / "audio")
    batch = Batches(asr.record_takes(20, 7), texts, 7).sounds(0)
    assert batch.instruction == CLASSIFY
    assert not batch.windows.any()
    assert (batch.targets == texts.end).any(1).all()


def test_rounding_is_the_exporters(trained: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((6, 64)).astype(np.float32)
    fmt = BlockFormat(4, rounding.QUANTIZED_BLOCK)
    wanted = dequantize_rows(quantize_rows(weight, fmt), fmt, 64)
    found = rounding.rounded_to_int4(torch.from_numpy(weight)).numpy()
    assert np.allclose(found, wanted, atol=1e-6)
