"""The machine as Prometheus metrics: temperatures, power and device memory, where it tells them.

Read when they are asked for; what a machine does not tell has no series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from omnilive.engine.nvidia_smi import query

DEVICE_FIELDS = ("index", "memory.used", "memory.total", "temperature.gpu", "power.draw")

Query = Callable[[Sequence[str]], list[dict[str, str]]]


class MachineMetrics(Collector):
    """Reads sysfs and NVIDIA's tool; a slow device makes a slow answer and nothing else."""

    def __init__(self, sys: Path = Path("/sys"), ask_device: Query = query) -> None:
        self._sys = sys
        self._ask_device = ask_device

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: so that registering it asks no device."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See ``Collector.collect``."""
        devices = self._ask_device(DEVICE_FIELDS)
        heat = GaugeMetricFamily(
            "omnilive_temperature_celsius", "Of a zone of the machine or a device", labels=["zone"]
        )
        power = GaugeMetricFamily("omnilive_power_watts", "Drawn on a rail", labels=["rail"])
        memory = GaugeMetricFamily(
            "omnilive_device_memory_bytes", "Of a device", labels=["device", "kind"]
        )
        for zone, celsius in _zones(self._sys).items():
            heat.add_metric([zone], celsius)
        for rail, watts in _rails(self._sys).items():
            power.add_metric([rail], watts)
        for device in devices:
            name = f"gpu{device['index']}"
            for family, labels, key, scale in (
                (heat, [name], "temperature.gpu", 1.0),
                (power, [name], "power.draw", 1.0),
                (memory, [name, "used"], "memory.used", 1 << 20),
                (memory, [name, "total"], "memory.total", 1 << 20),
            ):
                value = _number(device[key])
                if value is not None:  # a Jetson answers "[N/A]" to some
                    family.add_metric(labels, value * scale)
        yield from (heat, power, memory)


def _zones(sys: Path) -> Mapping[str, float]:
    """Thermal zones by name, degrees Celsius."""
    found = {}
    for file in sorted(sys.glob("class/thermal/thermal_zone*/temp")):
        millidegrees = _read(file)
        if millidegrees is not None:
            kind = file.with_name("type")
            name = kind.read_text("ascii").strip() if kind.is_file() else ""
            found[f"{file.parent.name} {name}".strip()] = millidegrees / 1e3
    return found


def _rails(sys: Path) -> Mapping[str, float]:
    """Rails of the power monitors the kernel knows, watts.

    A Jetson's INA3221 gives a rail's volts and amperes (``in1_input`` in millivolts,
    ``curr1_input`` in milliamperes, ``in1_label``), others the power (``power1_input`` in
    microwatts): the kernel's hwmon interface.
    """
    found = {}
    for monitor in sorted(sys.glob("class/hwmon/hwmon*")):
        for file in sorted(monitor.glob("power*_input")):
            microwatts = _read(file)
            if microwatts is not None:
                found[f"{monitor.name} {file.name.removesuffix('_input')}"] = microwatts / 1e6
        for file in sorted(monitor.glob("curr*_input")):
            number = file.name.removeprefix("curr").removesuffix("_input")
            milliamperes, millivolts = _read(file), _read(monitor / f"in{number}_input")
            if milliamperes is not None and millivolts is not None:
                label = monitor / f"in{number}_label"
                name = label.read_text("ascii").strip() if label.is_file() else f"rail{number}"
                found[f"{monitor.name} {name}"] = milliamperes * millivolts / 1e6
    return found


def _read(file: Path) -> float | None:
    """A sensor's number; None where the kernel gives none now."""
    try:
        return _number(file.read_text("ascii"))
    except OSError:
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
