"""Pickles of tensors and plain values, read without calling anything that they name.

Python's own reader calls whatever a pickle asks for. This one knows the few opcodes that `torch.save` writes for dicts,
lists, tuples, text, numbers and dense tensors, and refuses all others; what it builds is no larger than what it reads.
"""

import math
import pickletools
from collections.abc import Callable
from typing import IO, Any

import torch
from torch import Tensor

MOST_OPCODES = 4_000_000  # ten times what a network of thousands of weights and a dozen averages of them take
MOST_AXES = 8
TYPED = {
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128,
}  # fmt: skip
UNTYPED = {  # newer ones, which are named beside bytes
    "float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2, "float8_e8m0fnu": torch.float8_e8m0fnu,
    "float8_e4m3fnuz": torch.float8_e4m3fnuz, "float8_e5m2fnuz": torch.float8_e5m2fnuz,
    "uint16": torch.uint16, "uint32": torch.uint32, "uint64": torch.uint64,
}  # fmt: skip
DTYPES = (*TYPED.values(), *UNTYPED.values())
MARK: Any = object()
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "MARK": lambda: MARK,
}  # fmt: skip
Storages = Callable[[torch.dtype, str, int], Tensor]
"""The flat tensor (size,) of a dtype that is stored under a key."""


class NotPlain(ValueError):
    """A pickle that asks for more than tensors and plain values."""


class UnknownDtype(ValueError):
    """A pickle of tensors of a dtype that is not read."""


def shape(sizes: tuple[int, ...]) -> torch.Size:
    if len(sizes) > MOST_AXES or not all(type(size) is int and size >= 0 for size in sizes):
        raise NotPlain("it holds a shape that is none")
    return torch.Size(sizes)


def dense(storage: Tensor, offset: int, sizes: tuple, strides: tuple, _: bool, hooks: dict, *more: Any) -> Tensor:
    """A view of a storage, of as many elements as that has at most: none is stretched to any size."""
    if math.prod(shape(sizes)) > len(storage) or hooks or any(more):
        raise NotPlain("it holds a tensor that is not dense")
    return storage.as_strided(sizes, strides, offset)


def dense_of_bytes(
    storage: Tensor, offset: int, sizes: tuple, strides: tuple, _: bool, hooks: dict, dtype: torch.dtype, *more: Any
) -> Tensor:
    """The same of a storage that is bytes, uint8 (size,), and says nothing of its dtype."""
    if not isinstance(dtype, torch.dtype):
        raise NotPlain("it holds a tensor of no dtype")
    return dense(storage.view(dtype), offset, sizes, strides, _, hooks, *more)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": lambda: {},
    "torch Size": shape,
    "torch._utils _rebuild_tensor_v2": dense,
    "torch._utils _rebuild_tensor_v3": dense_of_bytes,
    "torch._utils _rebuild_parameter": lambda data, requires_grad, hooks: data,
}
GLOBALS: dict[str, Any] = {
    **FUNCTIONS,
    **{f"torch {name}Storage": dtype for name, dtype in TYPED.items()},
    **{f"torch {name}": dtype for name, dtype in UNTYPED.items()},
    "torch.storage UntypedStorage": torch.uint8,
}


class PlainPickle:
    """Reads one pickle; `storages` gives the contents of the tensors in it."""

    def __init__(self, storages: Storages) -> None:
        self.storages = storages
        self.stack: list[Any] = []
        self.memo: dict[Any, Any] = {}

    def read(self, stream: IO[bytes]) -> Any:
        """The value that the pickle at the stream's position describes.

        NotPlain if it is more than plain, any error if it is damaged.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MOST_OPCODES:
                raise ValueError(f"it has more than {MOST_OPCODES} parts")
            if opcode.name in VALUES:
                self.stack.append(argument)
            elif opcode.name in CONSTANTS:
                self.stack.append(CONSTANTS[opcode.name]())
            elif opcode.name in ("BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
            elif opcode.name == "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            elif opcode.name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif opcode.name not in ("PROTO", "FRAME"):
                self.combine(opcode.name, argument)
        (value,) = self.stack
        return value

    def combine(self, opcode: str, argument: Any) -> None:
        """Carry out an opcode that makes one value of those on top of the stack."""
        stack = self.stack
        match opcode:
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                stack.append(tuple(self.since_mark()))
            case "APPEND" | "APPENDS":
                items = self.since_mark() if opcode == "APPENDS" else [stack.pop()]
                as_kind(list, stack[-1]).extend(items)
            case "SETITEM" | "SETITEMS":
                self.set_items([stack.pop(-2), stack.pop()] if opcode == "SETITEM" else self.since_mark())
            case "GLOBAL":
                stack.append(named(argument))
            case "STACK_GLOBAL":  # which protocol 4 writes instead
                name, module = as_kind(str, stack.pop()), as_kind(str, stack.pop())
                stack.append(named(f"{module} {name}"))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                if not any(function is known for known in FUNCTIONS.values()):
                    raise NotPlain("it calls what is no function of torch's")
                stack.append(function(*as_kind(tuple, arguments)))
            case "BINPERSID":
                self.push_storage(stack.pop())
            case "BUILD":  # the version that `nn.Module.state_dict` hangs on its dict
                stack.pop()
                as_kind(dict, stack[-1])
            case "STOP":
                pass
            case _:
                raise NotPlain(f"it asks for {opcode}")

    def since_mark(self) -> list[Any]:
        """What was pushed since the last mark, taken from the stack with it."""
        at = next(at for at in reversed(range(len(self.stack))) if self.stack[at] is MARK)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def set_items(self, pairs: list[Any]) -> None:
        """Put key, value, key, value, ... into the dict on the stack. To hash other keys could take any time."""
        keys, values = pairs[::2], pairs[1::2]
        if any(type(key) not in (str, int) for key in keys):
            raise NotPlain("it has keys that are neither text nor numbers")
        as_kind(dict, self.stack[-1]).update(zip(keys, values, strict=True))

    def push_storage(self, described: Any) -> None:
        kind, dtype, key, _, size, *_ = as_kind(tuple, described)
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(key) is not str or type(size) is not int:
            raise NotPlain("it refers to what is no tensor's content")
        self.stack.append(self.storages(dtype, key, size))


def named(name: str) -> Any:
    """The function or dtype of a module and a name in it; UnknownDtype if it is one of torch's that is not read."""
    if name in GLOBALS:
        return GLOBALS[name]
    module, _, own = name.partition(" ")
    if module == "torch" and isinstance(vars(torch).get(own), torch.dtype):
        raise UnknownDtype(own)
    raise NotPlain(f"it names {module}.{own}")


def as_kind(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise NotPlain(f"it takes a {type(value).__name__} for a {kind.__name__}")
    return value
