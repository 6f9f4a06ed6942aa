"""The text the miniature's tokenizers are trained on: its world's words in the family's prompts.

Text only: every line comes from lists and templates in a fixed order, without a random number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from omnilive_micropack import small_talk, templates
from omnilive_micropack.grammar import vocabulary
from omnilive_micropack.vocabulary import (
    ACTIONS,
    COLOURS,
    NUMBERS,
    OBJECTS,
    PEOPLE,
    PLACES,
    PLURALS,
    ROOMS,
    SOUNDS,
)

WORD_REPEATS = 40
"""How often each word of the spoken grammar stands in the corpus besides its sentences: often
enough to be a single token of the byte-level vocabularies."""

PROMPT_REPEATS = 24
"""The same for the prompts, which every call has to read."""

PROMPTS = (
    "You are a helpful assistant.",
    "system",
    "user",
    "assistant",
    "This contains a clip sampled in 0 to 16 seconds",
    "This contains a clip sampled in 117 to 123 seconds",
    "This contains a clip sampled in 48 to 59 seconds",
    "This is video overview memory:",
    "This is question related video memory:",
    "Question: Here are some frames of a video.",
    "The answer is",
    "The answer is Yes",
    "The answer is No",
    'Is the following string an instruction? "What is on the table"',
    'Is the following string an instruction? "um, okay"',
    "Audio 1: ",
    "Classify the audio.",
    "Detect the language and recognize the speech.",
    "Sound classification: Rain. ",
    "You see what the camera sees and hear what the microphone hears. Answer in the user's "
    "language, shortly and truthfully. If something was not seen, say so.",
)
"""The strings of spec §1.2, §1.6, §2.3, §2.7, §3.2 and §4, with typical fillings; the
Chinese ones are in CHINESE."""

VERDICTS = ("Yes", "No", "Yes, it is.", "No, it is not.", "not seen", "I have not seen it.")
"""What the reasoner answers whatever the question is about."""

CHINESE = (
    "声音是雨声。",
    "你能看到摄像头的画面，也能听到麦克风的声音。请用用户的语言简短、如实地回答。没有看到的，就说没有看到。",
    "现在桌子上有什么？",
    "红色的伞在哪里？",
    "谁拿走了杯子？",
    "房间里有几个人？",
    "球是什么颜色的？",
    "猫在沙发上吗？",
    "灯是开着的还是关着的？",
    "刚才发生了什么？",
    "我的钥匙在哪里？",
    "现在几点了？",
    "天气怎么样？",
    "哪里可以热三明治？",
    "桌子上有一个红色的杯子。",
    "没有看到。",
    "有两个人在厨房里。",
    "球是蓝色的。",
    "是的。",
    "不是。",
)


def _spoken() -> Iterator[str]:
    """Every template of the grammar, filled with each word of its longest slot in turn."""
    patterns = [t for form in templates.FORMS.values() for t in form.templates]
    patterns += [t for group in templates.IMPLICIT.values() for t in group]
    for pattern in (*patterns, *small_talk.REMARKS):
        names = templates.slots(pattern)
        for i in range(max((len(templates.SLOTS[name]) for name in names), default=1)):
            values = {
                name: templates.SLOTS[name][(i + k) % len(templates.SLOTS[name])]
                for k, name in enumerate(names)
            }
            # With its leading space, as it is generated and as it stands inside a prompt.
            yield " " + templates.fill(pattern, values)


def _answers() -> Iterator[str]:
    for i, thing in enumerate(OBJECTS):
        room, place = ROOMS[i % len(ROOMS)], PLACES[i % len(PLACES)]
        person, action = PEOPLE[i % len(PEOPLE)], ACTIONS[i % len(ACTIONS)]
        yield f"Where is the {thing}?"
        yield f"What color is the {thing}?"
        yield f"How many {PLURALS[thing]} are there in the {room}?"
        yield f"The {person} {action} the {thing} after the {thing} was {place}."
        yield f"The {thing} is {place} in the {room}."
        for j, colour in enumerate(COLOURS):
            number = NUMBERS[(i + j) % len(NUMBERS)]
            yield f"The {thing} is {colour}."
            yield f"There are {number} {colour} {PLURALS[thing]}."
            yield f"Yes, there is a {colour} {thing}."
            yield f"No, the {colour} {thing} was not seen."
    for i, person in enumerate(PEOPLE):
        for room in ROOMS:
            yield f"The {person} came into the {room} {NUMBERS[i % len(NUMBERS)]} minutes ago."
    for sound in SOUNDS:
        yield f"Sound classification: {sound}. what is happening"
        yield f"{sound}"
    yield from ("What is this?", "What do you see now?", "How is the weather?", "What time is it?")
    yield "Where can I heat my sandwich?"


def corpus() -> list[str]:
    """Lines without a newline, the most usual ones several times."""
    words: Sequence[str] = [f" {word}" for word in vocabulary()]
    characters = sorted({c for line in small_talk.CHINESE for c in line})
    lines = [*_spoken(), *_answers()]
    lines += [*words, *characters, *SOUNDS] * WORD_REPEATS
    lines += [*PROMPTS, *VERDICTS] * PROMPT_REPEATS
    lines += [*small_talk.FILLERS, *small_talk.CHINESE, *CHINESE]
    return lines
