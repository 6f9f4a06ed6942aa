"""Text of the audio model: tags out, language told, sound named. It never calls a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from omnilive.perception.audio_model import SoundClass, Transcript

Language = Literal["en", "zh"]

_TAG = re.compile(r"<\|.*?\|>")
_CJK_RANGES = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CJK = re.compile(f"[{_CJK_RANGES}]")

LONGEST_WORD = 16
"""Characters after which a word counts as another one: noise can come without a space."""

_WORD = re.compile(f"[{_CJK_RANGES}]|[^\\s{_CJK_RANGES}]{{1,{LONGEST_WORD}}}")
_NO_SOUND = frozenset({"speech", "silence", ""})
"""Labels that say nothing about the surroundings (spec §3.2)."""

_CHINESE_SOUNDS = {
    "alarm": "警报声",
    "animal": "动物的声音",
    "applause": "掌声",
    "bark": "狗叫声",
    "bell": "铃声",
    "bird": "鸟叫声",
    "birdsong": "鸟鸣声",
    "car": "汽车声",
    "cat": "猫叫声",
    "cheering": "欢呼声",
    "clapping": "拍手声",
    "clock": "钟表声",
    "cough": "咳嗽声",
    "crowd": "人群的声音",
    "cryingsobbing": "哭声",
    "dog": "狗叫声",
    "doorbell": "门铃声",
    "drum": "鼓声",
    "engine": "发动机声",
    "explosion": "爆炸声",
    "fire": "火声",
    "footsteps": "脚步声",
    "glass": "玻璃声",
    "guitar": "吉他声",
    "helicopter": "直升机声",
    "insect": "虫鸣声",
    "keyboardmusical": "键盘乐器声",
    "keysjangling": "钥匙声",
    "knock": "敲门声",
    "laughter": "笑声",
    "meow": "猫叫声",
    "music": "音乐",
    "piano": "钢琴声",
    "rain": "雨声",
    "ringtone": "手机铃声",
    "siren": "警笛声",
    "telephone": "电话声",
    "thunder": "雷声",
    "tools": "工具声",
    "train": "火车声",
    "typing": "打字声",
    "vehicle": "车辆声",
    "walkandfootsteps": "脚步声",
    "water": "水声",
    "whistling": "口哨声",
    "wind": "风声",
}
"""Chinese names of common AudioSet and FSD50K classes, keyed by ``_key`` of the English one."""


def strip_tags(text: str) -> str:
    """``text`` without ``<|…|>`` tags and outer white space."""
    return _TAG.sub("", text).strip()


def detect_language(text: str) -> Language:
    """``zh`` when at least half of the letters and digits are CJK, else ``en``."""
    letters = sum(c.isalnum() for c in text)
    cjk = len(_CJK.findall(text))
    return "zh" if cjk and 2 * cjk >= letters else "en"


def last_words(text: str, limit: int) -> str:
    """The end of ``text``, at most ``limit`` words long.

    A word is a Chinese character, or up to ``LONGEST_WORD`` other characters without a space.
    """
    starts = [word.start() for word in _WORD.finditer(text)]
    return text if len(starts) <= limit else text[starts[-limit] :]


def question_text(transcript: Transcript, sound_class: SoundClass | None) -> str:
    """The question as the reasoner reads it: the words after the background sound's name.

    Speech and silence have no name, nor has a sound without a Chinese name in a Chinese text
    (spec §3.2; the reference's stray leading apostrophe is left out).
    """
    label = strip_tags(sound_class.label) if sound_class is not None else ""
    if label.lower() in _NO_SOUND:
        return transcript.text
    if transcript.language == "en":
        return f"Sound classification：{label}. {transcript.text}"
    chinese = _CHINESE_SOUNDS.get(_key(label))
    return f"声音是{chinese}。{transcript.text}" if chinese else transcript.text


def _key(label: str) -> str:
    return "".join(c for c in label.lower() if c.isalnum())
