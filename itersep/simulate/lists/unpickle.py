"""Plain data out of a pickle file, without running what is in it.

A pickle is a program for a small stack machine, and Python's own may import and call anything. This one knows only the
operations that build numbers, texts, lists, tuples and dicts, and numpy's scalars, which it makes itself: nothing is
imported, nothing is called. All else is refused by name.
"""

import pickletools
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from itersep.system.errors import UserError

LARGEST_BYTES = 32 * 2**20  # twice the largest of the published lists
KINDS = re.compile(r"[fiu][248]")  # floats and integers; above all, no Python objects


def read_pickle(path: str | Path) -> Any:
    """The data of a pickle file (protocol 2 or later): numpy scalars come as Python's numbers.

    Raises UserError, naming what was found, for a file that is missing, too large, damaged, no pickle, or holds
    anything but data.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with open(path, "rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise UserError(f"{path}: is larger than {LARGEST_BYTES // 2**20} MB, and so no list of mixtures")
    try:
        return _Machine().run(data)
    except _RefusedError as refused:
        raise UserError(
            f"{path}: {refused}; nothing of it was run, get the file again from where it is published"
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: is cut short, damaged or no pickle file ({reason}); get it again") from None


class _RefusedError(Exception):
    """What a file holds that is not data."""


class _Global(Enum):
    """What a file may name, and no more than the names."""

    DTYPE = "numpy dtype"
    SCALAR = "numpy.core.multiarray scalar"  # as numpy 1 writes it
    SCALAR_OF_2 = "numpy._core.multiarray scalar"


class _Dtype:
    """A numpy dtype by its parts: a file gives the kind first, the byte order later."""

    def __init__(self, kind: object) -> None:
        if not (isinstance(kind, str) and KINDS.fullmatch(kind)):
            name = repr(kind) if isinstance(kind, str) else type(kind).__name__
            raise _RefusedError(f"holds numpy values of the kind {name[:20]}, where numbers are expected")
        self.kind, self.order = kind, "="

    def scalar(self, data: bytes) -> int | float:
        (value,) = np.frombuffer(data, np.dtype(self.order + self.kind))
        return value.item()


class _Machine:
    """A stack, the marks on it, and a memory for what is referred to again."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """Do one operation after the other; the result is what the last one leaves."""
        for operation, argument, position in pickletools.genops(data):
            if operation.name in CONSTANTS:
                self.stack.append(argument)
            elif action := ACTIONS.get(operation.name):
                action(self, argument)
            else:
                raise _RefusedError(f"holds the pickle operation {operation.name} (byte {position}), which is not data")
        if len(self.stack) != 1 or self.marks:
            raise ValueError("it does not end in one value")
        return self.stack[0]

    def pop(self) -> Any:
        """The topmost value, unless a mark lies on it."""
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("a value is missing")
        return self.stack.pop()

    def pop_marked(self) -> list[Any]:
        """The values above the topmost mark."""
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def put(self, place: int) -> None:
        """Remember the topmost value."""
        self.memo[place] = self.stack[-1]

    def push_tuple(self, size: int) -> None:
        """Make a tuple of the topmost values."""
        self.stack.append(tuple(reversed([self.pop() for _ in range(size)])))

    def extend(self, values: list[Any]) -> None:
        """Append to the list that is topmost."""
        self.top(list).extend(values)

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values, in turn, into the dict that is topmost."""
        keys = items[::2]
        if not all(isinstance(key, str) for key in keys):
            raise TypeError("a key is not a text")
        self.top(dict).update(zip(keys, items[1::2], strict=True))

    def top(self, kind: type) -> Any:
        """The topmost value, which must be of ``kind``."""
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"{kind.__name__} expected, {type(self.stack[-1]).__name__} found")
        return self.stack[-1]

    def find(self, name: str) -> None:
        """In place of an import: two things of numpy's are known, by name alone."""
        try:
            self.stack.append(_Global(name))
        except ValueError:
            raise _RefusedError(f"names {name.replace(' ', '.')[:80]!r}, which could be code") from None

    def find_popped(self) -> None:
        """The same, with the name taken from the stack."""
        name, module = self.pop(), self.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name is not a text")
        self.find(f"{module} {name}")

    def reduce(self) -> None:
        """In place of a call: a dtype of its kind, or a number of its dtype and bytes."""
        arguments, function = self.pop(), self.pop()
        if not (isinstance(function, _Global) and isinstance(arguments, tuple) and arguments):
            raise _RefusedError("calls something that is not a function of numpy")
        if function is _Global.DTYPE:
            self.stack.append(_Dtype(arguments[0]))
            return
        dtype, data = arguments
        if not (isinstance(dtype, _Dtype) and isinstance(data, bytes)):
            raise _RefusedError("makes a numpy scalar of something else than a dtype and bytes")
        self.stack.append(dtype.scalar(data))

    def build(self) -> None:
        """In place of setting an object's state: the byte order of a dtype."""
        state = self.pop()
        dtype = self.stack[-1]
        if not (isinstance(dtype, _Dtype) and isinstance(state, tuple) and state[1] in ("<", ">", "=")):
            raise _RefusedError("sets the state of something that is not a plain dtype")
        dtype.order = state[1]


CONSTANTS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
     "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES")
)  # fmt: skip
ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_marked())),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_marked()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_marked()),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "GLOBAL": _Machine.find,
    "STACK_GLOBAL": lambda machine, _: machine.find_popped(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
