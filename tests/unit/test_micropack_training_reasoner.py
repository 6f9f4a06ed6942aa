"""Training of the reasoner: the packed model is the reference's, prompts are the runtime's."""

from __future__ import annotations

import copy
import dataclasses
import math
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from omnilive.errors import BuildError, CheckpointError  # noqa: E402
from omnilive.reasoning.config import PromptConfig  # noqa: E402
from omnilive.reasoning.image_tokens import TileGeometry  # noqa: E402
from omnilive.reasoning.template import ChatTemplate  # noqa: E402
from omnilive_micropack import grammar, layout, text_tokenizers  # noqa: E402
from omnilive_micropack.corpus import corpus  # noqa: E402
from omnilive_micropack.dimensions import MICRO, LmDims  # noqa: E402
from omnilive_micropack.facts import frame_facts  # noqa: E402
from omnilive_micropack.seeds import TRAINING_SEEDS, generator  # noqa: E402
from omnilive_micropack.story import make_world  # noqa: E402
from omnilive_micropack.training import reasoner  # noqa: E402
from omnilive_micropack.training.context import Context, draw_context  # noqa: E402
from omnilive_micropack.training.context_frames import (  # noqa: E402
    clips_until,
    picture_of,
    shown_seconds,
    token_map,
)
from omnilive_micropack.training.reasoner_batches import Batch, collate  # noqa: E402
from omnilive_micropack.training.reasoner_folder import tensors_of, write_folder  # noqa: E402
from omnilive_micropack.training.reasoner_instruction import instruction_batch  # noqa: E402
from omnilive_micropack.training.reasoner_model import (  # noqa: E402
    ReasonerLm,
    ReasonerNet,
)
from omnilive_micropack.training.reasoner_projector import Projector  # noqa: E402
from omnilive_micropack.training.reasoner_text import BOS_ID, PromptText  # noqa: E402
from omnilive_micropack.training.reasoner_views import Seeing, no_memory, see  # noqa: E402
from omnilive_micropack.training.towers import ClipTower, start  # noqa: E402

SMALL = LmDims(64, 3, 4, 2, 96, vocab=32, positions=256, eps=1e-5, rope_theta=1e6)
GEOMETRY = TileGeometry(168, 6)


@cache
def tokenizer() -> bytes:
    return text_tokenizers.train_sentencepiece(
        corpus(), MICRO.reasoner_lm.vocab, MICRO.reserved_pieces
    )


@cache
def text() -> PromptText:
    return PromptText(tokenizer())


@cache
def tower() -> ClipTower:
    made = ClipTower(MICRO.reasoner_tower)
    start(made, torch.Generator().manual_seed(0))
    return made.eval().requires_grad_(False)


def small_model() -> ReasonerLm:
    torch.manual_seed(0)
    return ReasonerLm(SMALL, rank=8)


def embeds(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, SMALL.width)


def test_a_context_and_its_question_are_read_as_one_sequence_is_by_the_reference() -> None:
    from reference.internlm2_plora import InternLm2

    model = small_model()
    reference = InternLm2(
        {
            "hidden_size": SMALL.width,
            "num_attention_heads": SMALL.heads,
            "num_key_value_heads": SMALL.kv_heads,
            "intermediate_size": SMALL.mlp,
            "rms_norm_eps": SMALL.eps,
            "rope_theta": SMALL.rope_theta,
            "max_position_embeddings": SMALL.positions,
            "num_hidden_layers": SMALL.layers,
            "vocab_size": SMALL.vocab,
        },
        8,
    )
    head = torch.randn(SMALL.vocab, SMALL.width)
    reference.load_state_dict({**model.state_dict(), "output.weight": head})
    context, tail = embeds(1, 20), embeds(1, 1, 6)
    mask = torch.zeros(1, 20, 1)
    mask[:, 4:15] = 1
    with torch.no_grad():
        reading = model(context, torch.tensor([20]), mask, tail)
        whole = torch.cat([context[0], tail[0, 0]])
        plora = torch.cat([mask[0, :, 0], torch.zeros(6)]).bool()
        wanted = reference(whole, plora)[20:]
    assert torch.allclose(reading.hidden[0, 0] @ head.T, wanted, atol=1e-3)


def test_questions_about_one_context_do_not_see_each_other_nor_padding() -> None:
    model = small_model()
    context, tails = embeds(1, 12), embeds(1, 3, 5)
    padded = torch.cat([context, embeds(1, 7)], dim=1)
    with torch.no_grad():
        together = model(padded, torch.tensor([12]), torch.ones(1, 19, 1), tails).hidden
        alone = model(context, torch.tensor([12]), torch.ones(1, 12, 1), tails[:, 1:2]).hidden
    assert torch.allclose(together[:, 1:2], alone, atol=1e-5)


def test_a_fitted_projector_is_written_as_one_that_needs_no_fitting() -> None:
    torch.manual_seed(0)
    rows = torch.randn(50, 16) * 7 + 3
    fitted, written = Projector(16, 8), Projector(16, 8)
    fitted.fit(rows)
    tensors = fitted.tensors()
    written.first.load_state_dict({k[2:]: v for k, v in tensors.items() if k[0] == "0"})
    written.second.load_state_dict({k[2:]: v for k, v in tensors.items() if k[0] == "2"})
    assert torch.allclose(written(rows), fitted(rows), atol=1e-4)


def test_a_prompt_is_spelled_as_the_runtime_spells_it() -> None:
    config = PromptConfig()
    template = ChatTemplate(text().tokenizer, BOS_ID)
    asked = "what color is the umbrella"
    tail = text().tail(asked, "red")
    words = config.question_template.replace("{question}", asked)
    assert list(text().head) == template.head(config.system_prompt_en)
    assert [*text().lead, *tail.ids[: tail.start]] == template.tail(words, config.answer_prefix)
    assert text().tokenizer.decode(list(tail.ids[tail.start : -1])) == "red"
    assert tail.ids[-1] == text().tokenizer.id_of("[UNUSED_TOKEN_145]")


def test_every_word_of_the_grammar_is_one_piece() -> None:
    split = [word for word in grammar.vocabulary() if len(text().tokenizer.encode(f" {word}")) > 1]
    assert split == []


def test_clips_end_where_the_scene_changes_and_at_sixteen_frames() -> None:
    world = make_world(3, 120)
    clips = clips_until(world, 100.0)
    assert [s for clip in clips for s in clip.seconds] == list(range(101))
    assert max(len(clip.seconds) for clip in clips) == 16
    starts = {clip.seconds[0] for clip in clips}
    assert {cut for cut in world.cuts_s if cut <= 100} <= starts


def test_the_newest_frame_is_always_shown_and_no_more_than_allowed() -> None:
    clips = clips_until(make_world(3, 120), 100.0)
    shown = shown_seconds(clips, (0, 2), 8)
    assert len(shown) == 8
    assert shown[-1] == 100
    assert list(shown) == sorted(shown)


def test_tokens_belong_to_the_thing_that_is_drawn_there() -> None:
    world = make_world(5, 60)
    seconds = (20, 40)
    shows = token_map(world, seconds, picture_of(2, 168), GEOMETRY)
    for frame, second in enumerate(seconds):
        ids = {seen.id for seen in frame_facts(world, float(second)).things}
        owners = set(shows.owner[(shows.owner >= 0) & (shows.frame == frame)].tolist())
        assert {shows.things[i][1].id for i in owners} == ids
        assert {shows.things[i][0] for i in owners} == {frame}


def batch(seed: int) -> tuple[list[Context], list[Seeing], Batch]:
    rng = np.random.default_rng(seed)
    contexts = [draw_context(rng, TRAINING_SEEDS, 6, 3) for _ in range(2)]
    views = [see(context, MICRO, text(), rng) for context in contexts]
    blocks = [no_memory(MICRO)] * 2
    return contexts, views, collate(contexts, views, blocks, [False, True], text())


def test_a_batch_holds_each_prompt_whole() -> None:
    contexts, views, made = batch(0)
    for b, view in enumerate(views):
        length = len(text().head) + len(view.order) + len(text().lead)
        assert int(made.lengths[b]) == length
        assert int(made.plora[b].sum()) == len(view.order)
        assert int((made.rows[b] > 0).sum()) == len(view.order)
        for q, asked in enumerate(contexts[b].asked):
            tail = text().tail(asked.text, asked.answer)
            assert made.tails[b, q, : len(tail.ids)].tolist() == list(tail.ids)
            learned = made.targets[b, q]
            assert learned[learned >= 0].tolist() == list(tail.ids[tail.start :])


def test_a_question_is_guided_to_tokens_that_show_what_it_is_about() -> None:
    contexts, views, made = batch(1)
    checked = 0
    for b, context in enumerate(contexts):
        view = views[b]
        first = len(text().head)
        for q, asked in enumerate(context.asked):
            rows = np.flatnonzero(made.guides[b, q, 0].numpy())
            if not asked.groups:
                assert rows.tolist() == [0]
                continue
            places = {int(p): at for at, p in np.ndenumerate(view.places)}
            for row in rows:
                owner = view.shows.owner[places[int(row) - first]]
                assert view.shows.things[owner][1].id in asked.groups[0]
                checked += 1
    assert checked > 10


def test_half_of_the_utterances_are_questions_that_training_may_hear() -> None:
    made = instruction_batch(generator(0, "test"), text())
    ids = [row[row >= 0].tolist()[0] for row in made.targets[0]]
    yes, no = text().tokenizer.encode("Yes")[0], text().tokenizer.encode("No")[0]
    assert ids == [yes, no] * (len(ids) // 2)
    assert made.kinds == ["asked", "remark"] * (len(ids) // 2)


def test_the_folder_has_every_tensor_of_the_layout(tmp_path: Path) -> None:
    from safetensors import safe_open

    torch.manual_seed(0)
    write_folder(tmp_path / "base", ReasonerNet(MICRO), tower(), tokenizer(), MICRO)
    found = {}
    for shard in sorted((tmp_path / "base").glob("*.safetensors")):
        with safe_open(shard, "np") as file:
            found.update({k: tuple(file.get_slice(k).get_shape()) for k in file.keys()})
    assert found == {spec.name: spec.shape for spec in layout.reasoner_tensors(MICRO)}
    assert '"omnilive_trained": true' in (tmp_path / "base" / "config.json").read_text()


def test_the_share_of_told_contexts_falls_to_none() -> None:
    phase = reasoner.Phase(100, 1e-3, memory_share=0.0, told=0.8, told_until=0.5)
    shares = [phase.serving(step).told_share for step in (0, 25, 50, 99)]
    assert shares[0] == 0.8
    assert math.isclose(shares[1], 0.4)
    assert shares[2:] == [0.0, 0.0]


def test_what_the_stage_needs_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        reasoner.run(tmp_path, seed=0)
    assert raised.value.where == str(tmp_path / "towers" / "reasoner.safetensors")


def test_a_small_training_goes_down(tmp_path: Path) -> None:
    from omnilive_micropack.training.reasoner_trainer import ReasonerTrainer

    dims = dataclasses.replace(
        MICRO, reasoner_lm=dataclasses.replace(MICRO.reasoner_lm, layers=3, mlp=128)
    )
    trainer = ReasonerTrainer(dims, copy.deepcopy(tower()), text(), seed=0)
    _, _, made = batch(2)
    found = [trainer.losses(made)]
    for _ in range(6):
        trainer.apply(found[-1].total(1.0), 2e-3)
        found.append(trainer.losses(made))
    assert found[-1].answer.item() < 0.7 * found[0].answer.item()


def test_rounded_weights_are_those_of_an_int4_pack_from_the_first_step_on() -> None:
    from omnilive_micropack.training.reasoner_trainer import ReasonerTrainer
    from omnilive_micropack.training.rounding import rounded_to_int4

    trainer = ReasonerTrainer(MICRO, copy.deepcopy(tower()), text(), seed=0)
    plain = trainer.fast.model.layers[0].feed_forward.w1.weight.detach().clone()
    trainer.round_weights(True)
    found = trainer.fast.model.layers[0].feed_forward.w1.weight.detach()
    wanted = rounded_to_int4(trainer.net.model.layers[0].feed_forward.w1.weight.detach())
    assert torch.equal(found, wanted.to(found.dtype))
    assert not torch.equal(found, plain)
    assert torch.equal(
        trainer.fast.output.weight.float(), trainer.net.output.weight.to(found.dtype).float()
    )


def test_a_folder_that_lacks_a_weight_is_no_beginning(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from omnilive_micropack.training.begin import load_reasoner

    write_folder(tmp_path / "base", ReasonerNet(MICRO), tower(), tokenizer(), MICRO)
    shard = max((tmp_path / "base").glob("*.safetensors"))
    kept = {name: value for name, value in load_file(shard).items() if name != "output.weight"}
    save_file(kept, shard)
    with pytest.raises(CheckpointError, match=r"lacks output\.weight"):
        load_reasoner(ReasonerNet(MICRO), tmp_path / "base")


def test_the_tower_learns_with_the_rest() -> None:
    from omnilive_micropack.training.reasoner_trainer import ReasonerTrainer

    seeing = copy.deepcopy(tower())
    trainer = ReasonerTrainer(MICRO, seeing, text(), seed=0)
    before = copy.deepcopy(seeing.state_dict())
    _, _, made = batch(2)
    trainer.apply(trainer.losses(made).total(1.0), 1e-3)
    moved = {name for name, value in seeing.state_dict().items() if not value.equal(before[name])}
    assert moved >= {name for name in before if ".mlp." in name}


def test_a_projector_brought_to_another_scale_computes_the_same() -> None:
    torch.manual_seed(0)
    rows = torch.randn(50, 16) * 7 + 3
    projector = Projector(16, 8)
    before = projector(rows)
    projector.rescale(rows)
    assert torch.allclose(projector(rows), before, atol=1e-4)
    assert math.isclose(float(projector.mean.mean()), float(rows.mean()), rel_tol=1e-4)


def test_a_reasoner_begins_from_a_written_folder_as_it_was(tmp_path: Path) -> None:
    from omnilive_micropack.training.begin import load_reasoner

    torch.manual_seed(0)
    written, begun = ReasonerNet(MICRO), ReasonerNet(MICRO)
    written.vision_proj.fit(torch.randn(40, MICRO.reasoner_tower.mixed_width) * 3 + 1)
    write_folder(tmp_path / "base", written, tower(), tokenizer(), MICRO)
    load_reasoner(begun, tmp_path / "base")
    rows = torch.randn(5, MICRO.reasoner_tower.mixed_width)
    assert torch.allclose(begun.vision_proj(rows), written.vision_proj(rows), atol=0.02)
    found = tensors_of(begun, tower())
    for name, value in tensors_of(written, tower()).items():
        assert torch.allclose(found[name], value, atol=0.02), name


def test_batches_made_ahead_come_in_order_and_a_failure_is_named() -> None:
    from omnilive_micropack.training.ahead import Ahead

    with closing(Ahead(Quotient, 1)) as ahead:
        assert list(ahead.of([1, 2, 4])) == [12.0, 6.0, 3.0]
        with pytest.raises(BuildError, match="exit code 1"):
            list(ahead.of([0]))


class Quotient:
    """Divides twelve; picklable, as what a process is given must be."""

    def __call__(self, number: int) -> float:
        return 12 / number
