"""Puts questions into words, and lists the ways in which an answer may be put.

It knows no world: it is told what a question is about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from omnilive_micropack import grammar
from omnilive_micropack.templates import SLOTS, fill, slots

OPENER_SHARE = 0.08
"""Share of questions that begin with a filler word."""

NOT_SEEN = "not seen"
NOT_SEEN_FORMS = (NOT_SEEN, "it was not seen", "i have not seen it", "i have not seen one")


def phrase(
    rng: np.random.Generator,
    templates: Sequence[str],
    values: Mapping[str, str],
    *,
    holdout: bool,
    suits: Callable[[str], bool] = lambda template: True,
) -> str | None:
    """One of the templates in words, or None when none can be said.

    Args:
        rng: picks the template, and the words of slots without a value.
        templates: what may be said (see ``templates.py``).
        values: the words of the slots that matter. A slot of ``OPTIONAL`` without a value rules a
            template out.
        holdout: whether sentences held out from training may be said.
        suits: a further condition on a template.
    """
    for i in rng.permutation(len(templates)):
        template = templates[i]
        names = slots(template)
        if not suits(template) or any(n in DECIDED and n not in values for n in names):
            continue
        words = {n: values.get(n) or _pick(rng, SLOTS[n]) for n in names}
        text = fill(template, words)
        if rng.random() < OPENER_SHARE:
            text = f"{_pick(rng, SLOTS['opener'])} {text}"
        if holdout or grammar.split(text) == grammar.TRAINING:
            return text
    return None


DECIDED = ("object", "other", "objects", "colour", "place", "room", "person", "action", "number")
"""Slots whose words are about the world, so that nothing may be put there at random."""


def is_past(template: str) -> bool:
    """Whether a template asks about what was, and not about what is."""
    return re.search(r"\b(was|did)\b", template) is not None


def has_slot(name: str) -> Callable[[str], bool]:
    """A condition for ``phrase``: the template names this."""
    return lambda template: name in slots(template)


def thing_forms(kind: str, colour: str | None = None) -> tuple[str, ...]:
    """Ways to name an object or person, the canonical one first."""
    names = [kind] if colour is None else [kind, f"{colour} {kind}"]
    return tuple(form for name in names for form in (f"the {name}", _with_article(name), name))


def room_forms(room: str) -> tuple[str, ...]:
    """Ways to name a room, the canonical one first."""
    return f"the {room}", f"in the {room}", room


def _with_article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def is_accepted(answer: str, accepted: Sequence[str]) -> bool:
    """Whether an answer is one of the accepted ones, whatever its case and punctuation."""
    return normalized(answer) in {normalized(form) for form in accepted}


def normalized(text: str) -> str:
    """``text`` in lower case, without punctuation, with single spaces."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
