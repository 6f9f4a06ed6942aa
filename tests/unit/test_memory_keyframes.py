"""Keyframes: JPEG files under a byte and age quota, oldest out first, nothing written is lost."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnilive.errors import ConfigError, OutputError
from omnilive.memory.clip import Keyframe
from omnilive.memory.config import KeyframeConfig
from omnilive.memory.keyframes import KeyframeStore, scaled_size

SECOND = 1_000_000


def picture(seed=0, size=(48, 64)):
    """Noise: the JPEG of it is about as large as the picture."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def smooth(size=(48, 64)):
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    return np.stack([y * 2, x * 2, y + x], axis=-1).astype(np.uint8)


def put(store, pts_us, rgb):
    """Keep a frame; its id."""
    return store.put(pts_us, rgb).id


def on_disk(folder):
    return sum(p.stat().st_size for p in folder.iterdir())


def test_a_kept_frame_comes_back_as_the_picture_it_was(tmp_path):
    store = KeyframeStore(tmp_path, KeyframeConfig())
    key = put(store, 5 * SECOND, smooth())
    got = store.get(key)
    assert got.dtype == np.uint8 and got.shape == (48, 64, 3)
    assert np.abs(got.astype(int) - smooth()).mean() < 2
    assert store.get("kf-of-another-run") is None


def test_large_frames_are_scaled_to_the_longest_side_at_the_same_aspect(tmp_path):
    store = KeyframeStore(tmp_path, KeyframeConfig(max_side=64))
    assert store.get(put(store, 0, smooth((90, 160)))).shape == (36, 64, 3)
    assert store.get(put(store, 1, smooth((160, 90)))).shape == (64, 36, 3)
    assert store.get(put(store, 2, smooth((20, 30)))).shape == (20, 30, 3)


@pytest.mark.parametrize("size", [(90, 160), (160, 90), (61, 97), (20, 30)])
def test_the_size_told_is_the_size_that_comes_back(tmp_path, size):
    store = KeyframeStore(tmp_path, KeyframeConfig(max_side=64))
    kept = store.put(7_000_000, smooth(size))
    assert store.get(kept.id).shape == (kept.height, kept.width, 3)
    assert kept == Keyframe("kf-000000007000000", kept.width, kept.height)


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(32, 8192))
def test_scaling_keeps_the_aspect_and_never_enlarges(width, height, max_side):
    w, h = scaled_size(width, height, max_side)
    assert 1 <= w <= min(width, max_side) and 1 <= h <= min(height, max_side)
    scale = min(1, max_side / max(width, height))
    assert abs(w - width * scale) <= 1 and abs(h - height * scale) <= 1


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(8, 96)), max_size=40), st.integers(1, 99))
def test_after_every_put_the_quota_and_the_age_hold_and_the_newest_remain(
    tmp_path_factory, frames, max_age_s
):
    folder = tmp_path_factory.mktemp("keyframes")
    store = KeyframeStore(folder, KeyframeConfig(quota_bytes=2**16, max_age_s=max_age_s))
    pts, keys = 0, []
    for seconds, side in frames:
        pts += seconds * SECOND
        keys.append((pts, put(store, pts, picture(pts, (side, side)))))
        assert on_disk(folder) <= 2**16
        kept = [store.get(key) is not None for _, key in keys]
        assert kept == sorted(kept)
        ages = [pts - at for (at, _), k in zip(keys, kept, strict=True) if k]
        assert max(ages) <= max_age_s * SECOND
    assert len(store) == len(list(folder.iterdir()))


def test_the_oldest_go_first_when_the_quota_is_full(tmp_path):
    store = KeyframeStore(tmp_path, KeyframeConfig(quota_bytes=2**16))
    keys = [put(store, i * SECOND, picture(i, (100, 100))) for i in range(10)]
    kept = [k for k in keys if store.get(k) is not None]
    assert 1 < len(kept) < 10
    assert kept == keys[-len(kept) :]
    assert [k in store for k in keys] == [k in kept for k in keys]


def test_a_picture_larger_than_the_quota_is_evicted_at_once(tmp_path):
    store = KeyframeStore(tmp_path, KeyframeConfig(quota_bytes=2**16))
    assert store.get(put(store, 0, picture(0, (600, 600)))) is None
    assert on_disk(tmp_path) == 0


def test_a_frame_of_the_same_time_replaces_the_old_one(tmp_path):
    store = KeyframeStore(tmp_path, KeyframeConfig())
    assert put(store, 7, picture()) == put(store, 7, smooth())
    assert len(store) == len(list(tmp_path.iterdir())) == 1


def test_keyframes_of_an_earlier_run_count_as_the_oldest(tmp_path):
    config = KeyframeConfig(quota_bytes=2**16)
    first = KeyframeStore(tmp_path, config)
    old = [put(first, i * SECOND, picture(i, (150, 150))) for i in range(3)]
    (tmp_path / "kf-1.jpg.part").write_bytes(b"cut short")
    (tmp_path / "notes.txt").write_text("not a keyframe")
    second = KeyframeStore(tmp_path, config)
    assert len(second) == len(first) == 3
    assert second.get(old[0]) is not None
    new = [put(second, (10 + i) * SECOND, picture(9 + i, (150, 150))) for i in range(2)]
    assert all(second.get(k) is not None for k in new)
    assert second.get(old[0]) is None
    assert not list(tmp_path.glob("*.part"))
    assert (tmp_path / "notes.txt").exists()


def test_a_full_disk_is_told_and_loses_nothing(tmp_path, monkeypatch):
    store = KeyframeStore(tmp_path, KeyframeConfig())
    key = put(store, 0, smooth())

    def full(path, data):
        with open(path, "wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"No space left.*1 keyframes already there are kept"):
        put(store, SECOND, smooth())
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == [f"{key}.jpg"]
    assert store.get(key) is not None
    assert store.get(put(store, SECOND, smooth())) is not None


def test_a_keyframe_removed_or_damaged_from_outside_reads_as_gone(tmp_path):
    store = KeyframeStore(tmp_path, KeyframeConfig())
    removed, damaged, cut = (put(store, i, smooth()) for i in range(3))
    (tmp_path / f"{removed}.jpg").unlink()
    (tmp_path / f"{damaged}.jpg").write_bytes(b"not a picture")
    os.truncate(tmp_path / f"{cut}.jpg", 300)
    assert [store.get(k) for k in (removed, damaged, cut)] == [None] * 3


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        KeyframeStore(tmp_path / "file" / "keyframes", KeyframeConfig())


def test_an_array_that_is_no_frame_is_refused(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        KeyframeStore(tmp_path, KeyframeConfig()).put(0, np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    "changes", [{"quota_bytes": 0}, {"max_age_s": 0.0}, {"max_side": 1}, {"quality": 100}]
)
def test_a_keyframe_setting_out_of_range_is_named(changes):
    with pytest.raises(ConfigError, match=rf"keyframes\.{next(iter(changes))}"):
        KeyframeConfig(**changes).validate()


def test_a_cleared_store_is_empty_on_disk_too_and_starts_over(tmp_path):
    store = KeyframeStore(tmp_path, KeyframeConfig(max_age_s=10.0))
    late = put(store, 500 * SECOND, smooth())
    store.clear()
    assert (len(store), store.get(late)) == (0, None)
    assert not list(tmp_path.iterdir())
    # The time before does not make a new stream's first frames too old.
    assert store.get(put(store, 0, smooth())) is not None


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "write", "get", "put"]), st.integers(0, 5)),
        max_size=15,
    )
)
def test_a_frame_taken_on_is_there_whenever_it_is_written(tmp_path_factory, steps):
    late = KeyframeStore(tmp_path_factory.mktemp("late"), KeyframeConfig())
    at_once = KeyframeStore(tmp_path_factory.mktemp("at_once"), KeyframeConfig())
    for seed, (step, second) in enumerate(steps):
        key = f"kf-{second * SECOND:015d}"
        if step in ("take", "put"):
            rgb = picture(seed)
            told = at_once.put(second * SECOND, rgb)
            assert getattr(late, step)(second * SECOND, rgb) == told
        elif step == "write":
            late.write(key)
        assert (key in late) == (key in at_once)
        if step in ("get", "put"):
            np.testing.assert_array_equal(late.get(key), at_once.get(key))
    for second in range(6):
        key = f"kf-{second * SECOND:015d}"
        np.testing.assert_array_equal(late.get(key), at_once.get(key))


def test_a_frame_is_in_its_file_when_its_writing_is_told(tmp_path):
    store, told = KeyframeStore(tmp_path, KeyframeConfig()), threading.Event()
    found = []

    def done():
        found.append((tmp_path / f"{key}.jpg").is_file())
        told.set()

    key = store.take(0, smooth()).id
    assert not list(tmp_path.iterdir()) and len(store) == 0
    written = store.write_soon(key, done)
    assert told.wait(60) and found == [True]
    assert written.result() is None
    store.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("keyframes")]


def test_a_frame_that_cannot_be_written_soon_is_told_as_one_that_cannot_be_put(
    tmp_path, monkeypatch
):
    store, told = KeyframeStore(tmp_path, KeyframeConfig()), threading.Event()

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    written = store.write_soon(store.take(0, smooth()).id, told.set)
    with pytest.raises(OutputError, match="No space left"):
        written.result(60)
    assert told.wait(60)
    store.close()


def test_a_frame_that_comes_in_the_place_of_one_being_written_is_written_too(tmp_path, monkeypatch):
    store, write_bytes = KeyframeStore(tmp_path, KeyframeConfig()), Path.write_bytes
    later = [picture(1)]

    def meanwhile(path, data):
        if later:
            store.take(0, later.pop())
        write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", meanwhile)
    key = store.take(0, picture(2)).id
    store.write(key)
    other = KeyframeStore(tmp_path / "other", KeyframeConfig())
    np.testing.assert_array_equal(store.get(key), other.get(put(other, 0, picture(1))))
