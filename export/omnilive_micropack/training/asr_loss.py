"""Losses of the audio model: frame labels, transcripts, and attention guided to each word.

Arithmetic on one batch; it changes no weight.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from omnilive_micropack.training.asr_batches import IGNORED, Batch, Texts
from omnilive_micropack.training.asr_model import AudioModel, Heard

LABEL_SMOOTHING = 0.05
GUIDE_WEIGHT = 0.25
GUIDE_FLOOR = 1e-3
"""Added to the guided share of attention, so that its logarithm stays finite."""


def label_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of frames [B, T, classes] with labels [B, ≥T], IGNORED left out."""
    labels = labels[:, : scores.shape[1]]
    return F.cross_entropy(scores.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def sequence(
    model: AudioModel, heard: Heard, batch_instruction: str, texts: Texts, written: Tensor
) -> tuple[Tensor, Tensor]:
    """Each item's prompt with its audio, followed by what was written so far.

    Args:
        model: whose embeddings are taken.
        heard: the audio.
        batch_instruction: which prompt.
        texts: the prompts' ids.
        written: int64 [B, n] token ids.

    Returns:
        Embeddings [B, S, C], padded at the end, and the place of each item's last prompt token.
    """
    table = model.decoder.embed_tokens
    count, audio = heard.embeds.shape[:2]
    before = torch.tensor(texts.before)
    after = torch.tensor(texts.after[batch_instruction])
    pieces = torch.cat(
        [
            table(before).expand(count, -1, -1),
            heard.embeds.float(),
            table(after).expand(count, -1, -1),
            table(written),
        ],
        1,
    )
    total = len(before) + audio + len(after) + written.shape[1]
    places = torch.arange(total).expand(count, -1)
    missing = (audio - heard.counts)[:, None]
    # The audio's padding moves to the end, where causality hides it.
    source = torch.where(places >= len(before) + heard.counts[:, None], places + missing, places)
    source = source.clamp(max=total - 1)
    embeds = pieces.gather(1, source[..., None].expand(-1, -1, pieces.shape[2]))
    return embeds, len(before) + heard.counts + len(after) - 1


def joint_loss(model: AudioModel, heard: Heard, batch: Batch, texts: Texts) -> dict[str, Tensor]:
    """Losses of the transcripts and of the attention's guidance."""
    written = batch.targets[:, :-1].clamp(min=0)
    embeds, last = sequence(model, heard, batch.instruction, texts, written)
    states, attention = model.decoder(embeds)
    rows = last[:, None] + torch.arange(batch.targets.shape[1])
    picked = states.gather(1, rows[..., None].expand(-1, -1, states.shape[2]))
    scores = model.decoder.scores(picked).float()
    losses = {
        "text": F.cross_entropy(
            scores.flatten(0, 1),
            batch.targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=LABEL_SMOOTHING,
        )
    }
    if bool(batch.windows.any()):
        losses["guide"] = GUIDE_WEIGHT * _guidance(
            attention, batch.windows, rows, len(texts.before)
        )
    return losses


def _guidance(attention: list[Tensor], windows: Tensor, rows: Tensor, begin: int) -> Tensor:
    """How little of the guided heads' attention is where it should be, mean over targets.

    Half of the heads are guided: in the first layer to the word before, whose token they read,
    in the others to the word that is to be written.
    """
    before = torch.roll(windows, 1, 1)
    before[:, 0] = 0
    losses = []
    for i, shares in enumerate(attention):
        guided = shares[:, : shares.shape[1] // 2]
        index = rows[:, None, :, None].expand(-1, guided.shape[1], -1, guided.shape[3])
        picked = guided.gather(2, index)
        window = before if i == 0 else windows
        places = torch.arange(guided.shape[3]) - begin
        inside = (places >= window[..., :1]) & (places < window[..., 1:])
        mass = (picked * inside[:, None]).sum(-1)
        wanted = (window[..., 1] > window[..., 0])[:, None].expand_as(mass)
        losses.append(-(mass[wanted] + GUIDE_FLOOR).log().mean())
    return torch.stack(losses).mean()
