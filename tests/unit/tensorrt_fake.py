"""A TensorRT that builds nothing: it checks every call against the recorded binding.

Names, arguments and their types come from `tests/data/tensorrt`; on top of them it enforces what
TensorRT's documentation asks of a caller, and what our engines need. It records what was called.
"""

# Methods are named after the calls they stand for.
# ruff: noqa: N802

from __future__ import annotations

import enum
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx

from tensorrt_bindings import recording
from tensorrt_signatures import Signature, parse

PRECISION_FLAGS = ("FP16", "BF16", "INT8", "FP8", "INT4", "FP4")


class ContractError(AssertionError):
    """TensorRT was called in a way its documentation does not allow."""


@dataclass
class World:
    """What the fake's surroundings do, and what it saw.

    Attributes:
        parser_errors: what the parser says; it reads the model when there are none.
        build_fails: the builder gives None.
        foreign_caches: contents of timing caches of another machine.
        messages: severities of what the builder says while it builds.
        calls: ``Class.method`` and the arguments by name, in order.
    """

    parser_errors: tuple[str, ...] = ()
    build_fails: bool = False
    foreign_caches: tuple[bytes, ...] = ()
    messages: tuple[str, ...] = ()
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def named(self, method: str) -> list[dict[str, Any]]:
        """The arguments of every call of ``Class.method``."""
        return [arguments for name, arguments in self.calls if name == method]


class FakeObject:
    """An object of the fake: it has the recorded methods and properties, and no others."""

    _recorded: dict[str, Any]
    _trt: FakeTensorrt

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            facts = self._recorded["properties"].get(name)
            if facts is None or not facts["settable"]:
                raise AttributeError(f"{type(self).__name__} has no {name} to set")
            if not self._trt.fits(value, facts["type"]):
                raise TypeError(f"{name} is {facts['type']}, not {value!r}")
            check = getattr(self._trt, f"set_{type(self).__name__}_{name}", None)
            if check is not None:
                check(value)
        object.__setattr__(self, name, value)


class FakeTensorrt(ModuleType):
    """The module: one recorded version in one world."""

    def __init__(self, version: str, world: World) -> None:
        super().__init__("tensorrt")
        recorded = recording(version)
        self.world = world
        self.major = int(version.split(".")[0])
        self.__version__ = recorded["version"]
        for name, members in recorded["enums"].items():
            setattr(self, name, enum.IntEnum(name, members))
        for name, facts in recorded["classes"].items():
            setattr(self, name, self._class(name, facts))
        self.ILogger.Severity = self.Severity

    def fits(self, value: Any, recorded: str) -> bool:
        """Whether the binding would take ``value`` for an argument of that type."""
        if recorded in ("int", "SupportsInt"):
            # The binding's enums are no integers.
            return isinstance(value, int) and not isinstance(value, bool | enum.Enum)
        if recorded in ("str", "bool", "float"):
            kinds: dict[str, Any] = {"str": str, "bool": bool, "float": (float, int)}
            return isinstance(value, kinds[recorded])
        if recorded == "Dims":
            return isinstance(value, tuple | list) and all(type(size) is int for size in value)
        if recorded.endswith("uffer"):
            return isinstance(value, bytes | memoryview)
        kind = getattr(self, recorded.rsplit("::", 1)[-1], None)
        return not isinstance(kind, type) or isinstance(value, kind)

    def _class(self, name: str, facts: dict[str, Any]) -> type:
        bases: tuple[type, ...] = (bytes,) if name == "IHostMemory" else (FakeObject,)
        namespace: dict[str, Any] = {"_recorded": facts, "_trt": self}
        for method, signatures in facts["methods"].items():
            namespace[method] = self._method(name, method, [parse(s) for s in signatures])
        if "__init__" not in namespace and name != "IHostMemory":
            namespace["__init__"] = _no_constructor
        return type(name, bases, namespace)

    def _method(self, owner: str, method: str, signatures: list[Signature]) -> Any:
        def call(instance: Any, *args: Any, **kwargs: Any) -> Any:
            arguments = self._bound(f"{owner}.{method}", signatures, args, kwargs)
            self.world.calls.append((f"{owner}.{method}", arguments))
            behave = getattr(self, f"do_{owner}_{method}", None)
            if behave is None:
                raise NotImplementedError(f"the fake has no {owner}.{method}")
            return behave(instance, **arguments)

        return call

    def _bound(
        self, name: str, signatures: list[Signature], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        reasons = []
        for signature in signatures:
            try:
                arguments = signature.bind(args, kwargs)
            except TypeError as e:
                reasons.append(str(e))
                continue
            types = {a.name: a.type for a in signature.arguments}
            odd = [key for key, value in arguments.items() if not self.fits(value, types[key])]
            if not odd:
                return arguments
            reasons.append(f"{odd[0]} is {types[odd[0]]}")
        raise TypeError(f"{name}: {'; '.join(reasons)}")

    def _made(self, name: str, **state: Any) -> Any:
        made = object.__new__(getattr(self, name))
        for key, value in state.items():
            object.__setattr__(made, key, value)
        return made

    # ---- what the calls do ----------------------------------------------------------------------

    def do_ILogger___init__(self, logger: Any) -> None:
        """Nothing to do."""

    def do_Builder___init__(self, builder: Any, logger: Any) -> None:
        """Remember the logger."""
        builder._logger = logger

    def do_Builder_create_network(self, builder: Any, flags: int = 0) -> Any:
        """A network that must be strongly typed."""
        known = {1 << int(flag) for flag in self.NetworkDefinitionCreationFlag}
        if flags & ~sum(known):
            raise ContractError(f"network flags {flags:b} are not among those there are")
        strong = 1 << int(self.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        if self.major < 11 and not flags & strong:
            raise ContractError("the network is weakly typed: TensorRT would choose precisions")
        return self._made("INetworkDefinition", _inputs=None, _parser=None)

    def do_OnnxParser___init__(self, parser: Any, network: Any, logger: Any) -> None:
        """Tie the parser to its network, which does not keep it alive."""
        parser._network = network
        network._parser = weakref.ref(parser)
        object.__setattr__(parser, "num_errors", len(self.world.parser_errors))

    def do_OnnxParser_parse_from_file(self, parser: Any, model: str) -> bool:
        """Read the model's inputs, unless there is something to complain of."""
        if self.world.parser_errors:
            return False
        graph = onnx.load(Path(model), load_external_data=False).graph
        inputs = {
            value.name: tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
            for value in graph.input
        }
        parser._network._inputs = inputs
        return True

    def do_OnnxParser_get_error(self, parser: Any, index: int) -> Any:
        """One complaint."""
        return self._made("ParserError", _desc=self.world.parser_errors[index])

    def do_ParserError_desc(self, error: Any) -> str:
        """What it says."""
        return str(error._desc)

    def do_ParserError_node_name(self, error: Any) -> str:
        """Of whom."""
        return "node"

    def do_ParserError_node_operator(self, error: Any) -> str:
        """Its operator."""
        return "Add"

    def do_Builder_create_builder_config(self, builder: Any) -> Any:
        """A configuration without profiles."""
        return self._made("IBuilderConfig", _profiles=[], _cache=None, _flags=[])

    def do_IBuilderConfig_set_memory_pool_limit(
        self, config: Any, pool: Any, pool_size: int
    ) -> None:
        """A limit must leave something."""
        if pool_size <= 0:
            raise ContractError(f"no memory is left in {pool.name}")

    def do_IBuilderConfig_set_flag(self, config: Any, flag: Any) -> None:
        """A strongly typed network refuses precision flags."""
        config._flags.append(flag.name)
        if flag.name in PRECISION_FLAGS:
            raise ContractError(f"{flag.name} asks a strongly typed network for a precision")

    def do_Builder_create_optimization_profile(self, builder: Any) -> Any:
        """An empty profile; weights may be laid out anew for it unless told otherwise."""
        return self._made("IOptimizationProfile", _shapes={}, extra_memory_target=1.0)

    def do_IOptimizationProfile_set_shape(
        self, profile: Any, input: str, min: Any, opt: Any, max: Any
    ) -> None:
        """Remember the three shapes."""
        profile._shapes[input] = (tuple(min), tuple(opt), tuple(max))

    def set_IOptimizationProfile_extra_memory_target(self, value: float) -> None:
        """A fraction."""
        if not 0 <= value <= 1:
            raise ContractError("extra_memory_target lies between 0 and 1")

    def do_IBuilderConfig_add_optimization_profile(self, config: Any, profile: Any) -> int:
        """The profile's index, or -1 when its shapes are out of order."""
        for least, best, most in profile._shapes.values():
            ranks = {len(least), len(best), len(most)}
            in_order = all(0 <= a <= b <= c for a, b, c in zip(least, best, most, strict=False))
            if len(ranks) != 1 or not in_order:
                return -1
        config._profiles.append(profile)
        return len(config._profiles) - 1

    def do_IBuilderConfig_create_timing_cache(
        self, config: Any, serialized_timing_cache: bytes
    ) -> Any:
        """A cache with that content."""
        return self._made("ITimingCache", _content=bytes(serialized_timing_cache), _used=False)

    def do_IBuilderConfig_set_timing_cache(
        self, config: Any, cache: Any, ignore_mismatch: bool
    ) -> bool:
        """Attach it, unless it is of another machine."""
        if cache._content in self.world.foreign_caches and not ignore_mismatch:
            return False
        config._cache = cache
        return True

    def do_ITimingCache_serialize(self, cache: Any) -> bytes:
        """What it held and what a build added."""
        if not cache._used:
            raise ContractError("no build has used this timing cache")
        return self.IHostMemory(cache._content + b"+measured")

    def do_Builder_build_serialized_network(
        self, builder: Any, network: Any, config: Any
    ) -> bytes | None:
        """Check what a build needs; the plan names the profiles."""
        if network._inputs is None:
            raise ContractError("the network is empty: nothing was parsed")
        if network._parser() is None:
            raise ContractError("the parser is gone, and with it the weights of the network")
        if not config._profiles:
            raise ContractError("the network has dynamic inputs and no profile")
        for index, profile in enumerate(config._profiles):
            _check_profile(profile, network._inputs)
            if index and profile.extra_memory_target:
                raise ContractError("a later profile may hold a second copy of the weights")
        for severity in self.world.messages:
            builder._logger.log(self.Severity[severity], f"of {severity}")
        if config._cache is not None:
            config._cache._used = True
        if self.world.build_fails:
            return None
        return self.IHostMemory(f"plan of {len(config._profiles)} profiles".encode())


def _no_constructor(instance: Any, *args: Any, **kwargs: Any) -> None:
    raise TypeError(f"{type(instance).__name__}: No constructor defined!")


def _check_profile(profile: Any, inputs: dict[str, tuple[int | str, ...]]) -> None:
    """Every dynamic input has its shapes, which agree with the network and with each other."""
    axes: dict[str, tuple[int, ...]] = {}
    for name, shape in inputs.items():
        if all(isinstance(axis, int) for axis in shape):
            continue
        if name not in profile._shapes:
            raise ContractError(f"input {name} is dynamic and has no shapes in a profile")
        ranges = list(zip(*profile._shapes[name], strict=True))
        if len(ranges) != len(shape):
            raise ContractError(f"input {name} has {len(shape)} axes, not {len(ranges)}")
        for axis, found in zip(shape, ranges, strict=True):
            fixed = isinstance(axis, int)
            if fixed and set(found) != {axis}:
                raise ContractError(f"input {name} has a fixed axis of {axis}, not {found}")
            if not fixed and axes.setdefault(str(axis), found) != found:
                raise ContractError(f"axis {axis} has two ranges")
    unknown = set(profile._shapes) - set(inputs)
    if unknown:
        raise ContractError(f"the network has no input {unknown.pop()}")
