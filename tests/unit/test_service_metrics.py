"""What /metrics tells of lanes, stages and the machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from omnilive.lanes import Finished, Job, Lane, ThreadLanes, Work
from omnilive.service.lane_metrics import BOUNDS_US, LaneMetrics
from omnilive.service.machine_metrics import DEVICE_FIELDS, MachineMetrics
from omnilive.service.metrics import Metrics


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the labels' order."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def lanes_after(jobs: int) -> ThreadLanes:
    """Lanes that have run so many jobs that see nothing."""
    left = iter(range(jobs))

    def submit(_: Finished[None] | None = None) -> None:
        if next(left, None) is not None:
            lanes.submit(Job(Lane.SEE, lambda: Work(None, 0), submit))

    lanes = ThreadLanes()
    with closing(lanes):
        lanes.start()
        submit()
        lanes.run()
    return lanes


def test_jobs_of_all_sessions_are_counted_and_those_of_ended_ones_stay() -> None:
    metrics = Metrics(lambda: 2, lambda: 0, lambda: 7, lambda: 9)
    first, second = lanes_after(3), lanes_after(5)
    retire = metrics.lanes.add(partial(first.use, BOUNDS_US))
    metrics.lanes.add(partial(second.use, BOUNDS_US))
    before = metrics.text()
    retire()
    for text in (before, metrics.text()):
        found = samples(text)
        assert found["omnilive_lane_jobs_total", "done", "see"] == 8
        assert found["omnilive_lane_jobs_total", "missed", "see"] == 0
        assert found["omnilive_lane_jobs_total", "done", "reason"] == 0
        assert found["omnilive_lane_waiting", "see"] == 0
        for name in ("omnilive_lane_wait_seconds", "omnilive_lane_run_seconds"):
            assert found[f"{name}_count", "see"] == 8
            assert found[f"{name}_bucket", "see", "+Inf"] == 8
            assert found[f"{name}_sum", "see"] > 0


def test_stages_and_memory_are_told() -> None:
    metrics = Metrics(lambda: 1, lambda: 0, lambda: 7, lambda: 9)
    metrics.time_stage("decode", 30_000)
    found = samples(metrics.text())
    assert found["omnilive_stage_seconds_bucket", "0.02", "decode"] == 0
    assert found["omnilive_stage_seconds_bucket", "0.05", "decode"] == 1
    assert found["omnilive_memory_bytes",] == 7
    assert found["omnilive_kv_bytes",] == 9


def collected(sys: Path, devices: list[dict[str, str]]) -> dict[tuple[str, ...], float]:
    """What a machine with that sysfs and those devices tells, by name and label."""

    def ask(fields: Sequence[str]) -> list[dict[str, str]]:
        assert tuple(fields) == DEVICE_FIELDS
        return devices

    registry = CollectorRegistry()
    registry.register(MachineMetrics(sys, ask))
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="ascii")


def test_a_jetsons_rails_and_zones_are_told(tmp_path: Path) -> None:
    write(tmp_path / "class/thermal/thermal_zone0", temp="45500\n", type="tj-thermal\n")
    write(tmp_path / "class/thermal/thermal_zone1", temp="asleep\n", type="gpu-thermal\n")
    monitor = tmp_path / "class/hwmon/hwmon3"
    write(monitor, in1_label="VDD_IN\n", in1_input="5000\n", curr1_input="2400\n", in2_input="12\n")
    write(tmp_path / "class/hwmon/hwmon4", power1_input="7250000\n")
    assert collected(tmp_path, []) == {
        ("omnilive_temperature_celsius", "thermal_zone0 tj-thermal"): 45.5,
        ("omnilive_power_watts", "hwmon3 VDD_IN"): 12.0,
        ("omnilive_power_watts", "hwmon4 power1"): 7.25,
    }


def test_a_device_tells_its_memory_heat_and_power_as_far_as_it_knows_them(tmp_path: Path) -> None:
    values = ("0", "1024", "8192", "61", "[N/A]")
    device = dict(zip(DEVICE_FIELDS, values, strict=True))
    assert collected(tmp_path, [device]) == {
        ("omnilive_device_memory_bytes", "gpu0", "used"): 1 << 30,
        ("omnilive_device_memory_bytes", "gpu0", "total"): 8 << 30,
        ("omnilive_temperature_celsius", "gpu0"): 61,
    }


def test_a_machine_that_tells_nothing_has_no_series(tmp_path: Path) -> None:
    assert collected(tmp_path, []) == {}


def test_lanes_without_sessions_have_counted_nothing() -> None:
    registry = CollectorRegistry()
    registry.register(LaneMetrics())
    values = [s.value for family in registry.collect() for s in family.samples]
    assert values
    assert not any(values)
