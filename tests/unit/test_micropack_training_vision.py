"""Training of towers and memory: same arithmetic as the references, and the same run every time.

A few steps are trained; that what is learned is right is measured through a pack, not here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors import safe_open  # noqa: E402

from omnilive.reasoning.image_tokens import video_scaled  # noqa: E402
from omnilive.reasoning.stitch import layout as stitched_layout  # noqa: E402
from omnilive_export.verify.reference import load_references  # noqa: E402
from omnilive_micropack import layout  # noqa: E402
from omnilive_micropack.dimensions import MICRO  # noqa: E402
from omnilive_micropack.facts import frame_facts  # noqa: E402
from omnilive_micropack.seeds import generator  # noqa: E402
from omnilive_micropack.story import make_world  # noqa: E402
from omnilive_micropack.training import memory, memory_plan, towers, vision  # noqa: E402
from omnilive_micropack.training.common import Progress  # noqa: E402
from omnilive_micropack.training.memory_batches import draw_lesson, overlaps  # noqa: E402
from omnilive_micropack.training.memory_data import clip_text, encode_world  # noqa: E402
from omnilive_micropack.training.memory_labels import (  # noqa: E402
    COLOUR_AT,
    PRESENT,
    quadrant_bits,
)
from omnilive_micropack.training.memory_model import ClipInput  # noqa: E402
from omnilive_micropack.training.memory_tokens import open_tokenizer  # noqa: E402
from omnilive_micropack.training.vision_labels import (  # noqa: E402
    COLOUR,
    KIND,
    KINDS,
    ROOM,
    point_labels,
    tile_labels,
)
from omnilive_micropack.vocabulary import COLOURS  # noqa: E402

pytestmark = pytest.mark.unit

TOLERANCE = 2e-5
LOOSE = 5e-2
"""The projector's scaling is folded into bfloat16 weights, which rounds them anew."""

QUICK_TOWERS = tuple(
    dataclasses.replace(plan, steps=2, batch=6, check_every=1, check_pictures=6)
    for plan in vision.PLANS
)
QUICK_MEMORY = memory_plan.MemoryPlan(
    projector_steps=1,
    projector_clips=2,
    rounds=(
        memory_plan.Round(cards=0, thinned=1, whole=0, rate=1e-3),
        memory_plan.Round(cards=1, thinned=0, whole=1, rate=1e-3, keeps=True, practice=2),
    ),
    card_worlds=1,
    card_questions=6,
    worlds=1,
    steps_per_world=8,
    check_every=1,
)
CHECKS = (40.0,)


class KilledError(Exception):
    pass


def _kill_at(step: int) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        if progress.step == step:
            raise KilledError

    return tell


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    vision.run(out, seed=3, plans=QUICK_TOWERS)
    memory.run(out, seed=3, plan=QUICK_MEMORY, checks=CHECKS)
    return out


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix == ".safetensors"
    }


def test_training_killed_and_taken_up_again_gives_the_bytes_of_an_unbroken_run(
    trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        vision.run(tmp_path, seed=3, plans=QUICK_TOWERS, tell=_kill_at(1))
    vision.run(tmp_path, seed=3, plans=QUICK_TOWERS)
    with pytest.raises(KilledError):
        memory.run(tmp_path, seed=3, plan=QUICK_MEMORY, checks=CHECKS, tell=_kill_at(3))
    memory.run(tmp_path, seed=3, plan=QUICK_MEMORY, checks=CHECKS)
    assert _bytes(tmp_path) == _bytes(trained)


def test_another_seed_gives_other_weights(trained: Path, tmp_path: Path) -> None:
    vision.run(tmp_path, seed=4, plans=QUICK_TOWERS[1:])
    name = "towers/memory.safetensors"
    assert _bytes(tmp_path)[name] != _bytes(trained)[name]


def test_trained_folders_hold_every_tensor_of_the_layout(trained: Path) -> None:
    with safe_open(trained / "memory" / "model.safetensors", framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    assert found == {spec.name: spec.shape for spec in layout.memory_tensors(MICRO)}
    wanted = {
        s.name: s.shape for s in layout.clip_vision(vision.REASONER_PREFIX, MICRO.reasoner_tower)
    }
    with safe_open(trained / "towers" / "reasoner.safetensors", framework="pt") as file:
        assert {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()} == wanted
    for name in ("config.json", "preprocessor_config.json", "vocab.json", "merges.txt"):
        assert (trained / "memory" / name).is_file()


def test_the_tower_in_training_computes_what_the_reference_does(trained: Path) -> None:
    encoder = load_references().ground_qwen.FrameEncoder(trained / "memory")
    tower = vision.load_tower(trained / "towers" / "memory.safetensors", MICRO, "memory")
    images = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    features, cls = encoder(images)
    states = tower(torch.from_numpy(images))[MICRO.select_layer]
    assert np.abs(towers.mix_2x2(states[:, 1:]).numpy() - features).max() < TOLERANCE
    assert np.abs(states[:, 0].numpy() - cls).max() < TOLERANCE


def test_the_memory_in_training_computes_what_the_reference_does(trained: Path) -> None:
    references = load_references().ground_qwen
    folder = trained / "memory"
    tokenize = open_tokenizer(folder)
    model = memory.MemoryTrainer(MICRO, 3, tokenize).model
    state = torch.load(trained / "state" / "memory.pt", weights_only=True)["parts"]["parts"]
    model.load_state_dict({k[2:]: v for k, v in state.items() if k.startswith("0.")})
    model.to(torch.bfloat16).float()  # as the checkpoint holds it
    rng = np.random.default_rng(0)
    features = [rng.normal(0, 4, (n, 16, 512)).astype(np.float32) for n in (5, 3)]
    times = [(0, 5), (1205, 1208)]
    language = references.MemoryLanguage(folder)
    projector = references.PoolProjector(folder)
    clips = [
        references.compress(language, projector, tokenize, f, *t)
        for f, t in zip(features, times, strict=True)
    ]
    with torch.no_grad():
        got = model.compress(
            [
                ClipInput(torch.from_numpy(f), tuple(tokenize(clip_text(*t))))
                for f, t in zip(features, times, strict=True)
            ]
        )
        long_term = model.integrate(got.short_term, got.global_memory)
        asked = ["where is the red ball", "what is this"]
        found = model.question_features(long_term, [tokenize(q) for q in asked])
    for clip, h, g in zip(clips, got.short_term, got.global_memory, strict=True):
        assert np.abs(h.numpy() - clip.short_term).max() < LOOSE
        assert np.abs(g.numpy() - clip.global_memory).max() < LOOSE
    wanted = references.integrate(language, clips)
    assert np.abs(long_term.numpy() - wanted).max() < LOOSE
    for feature, question in zip(found, asked, strict=True):
        expected = references.question_feature(language, tokenize, wanted, question)
        assert np.abs(feature.numpy() - expected).max() < LOOSE


def test_the_patch_in_the_middle_of_a_thing_is_labelled_with_it_wherever_a_frame_is_put() -> None:
    world = make_world(11, 60.0)
    facts = [frame_facts(world, float(at_s)) for at_s in (5, 50)]
    plan = stitched_layout([(640, 360)] * 2, 168)
    scaled = video_scaled(plan.width, plan.height, 168)
    labels = tile_labels(facts, plan, scaled, 168, 12)
    tile_map = labels[1:].reshape(scaled.rows, scaled.columns, 12, 12, -1)
    tile_map = tile_map.transpose(0, 2, 1, 3, 4).reshape(scaled.rows * 12, -1, labels.shape[-1])
    for frame, place in zip(facts, plan.frames, strict=True):
        for seen in frame.things:
            left, top, right, bottom = seen.box
            x = (place.left + (left + right) / 2 * place.width) * scaled.width / plan.width
            y = (place.top + (top + bottom) / 2 * place.height) * scaled.height / plan.height
            patch = tile_map[int(y / 14), int(x / 14)]
            assert KINDS[patch[KIND] - 1] == seen.kind
            assert COLOURS[patch[COLOUR] - 1] == seen.colour
            assert patch[ROOM] > 0
    assert (tile_map[-1, 0] == 0).all()


def test_outside_a_frame_nothing_is_labelled() -> None:
    facts = frame_facts(make_world(11, 60.0), 5.0)
    assert (point_labels(facts, np.array([-0.1, 1.0]), np.array([0.5, 0.5])) == 0).all()


def test_quadrants_hold_the_things_that_lie_in_them() -> None:
    facts = frame_facts(make_world(11, 60.0), 5.0)
    bits = quadrant_bits(facts, 2)
    for seen in facts.things:
        kind, colour = KINDS.index(seen.kind), COLOUR_AT + COLOURS.index(seen.colour)
        found = bits[:, kind, PRESENT] & bits[:, kind, colour]
        assert found.any()
        if seen.place == "on the shelf":
            assert found.tolist() == [1, 0, 0, 0]
    assert set(np.flatnonzero(bits[..., PRESENT].any(axis=0))) == {
        KINDS.index(seen.kind) for seen in facts.things
    }


def test_a_lesson_shows_each_answer_in_clips_that_overlap_its_evidence(trained: Path) -> None:
    tower = vision.load_tower(trained / "towers" / "memory.safetensors", MICRO, "memory")
    rng = generator(5, "test")
    encoded = encode_world(tower, MICRO, make_world(5, 90.0), rng)
    lesson = draw_lesson([encoded], rng)
    assert lesson.questions
    for asked in lesson.questions:
        shows = [overlaps(clip, asked.question.evidence) for clip in lesson.clips]
        assert asked.shows.tolist() == shows and any(shows)
