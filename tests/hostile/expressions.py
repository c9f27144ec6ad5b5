"""Every regular expression of the product, and strings made from its own parse tree that would make it slow.

For each repetition: what leads up to it, then its body very often, then an end that cannot match; the same without
what leads up to it, and over and over. Quadratic and exponential time show in one of these.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # the tree is nowhere public
from typing import Any

import filterd

ROOT = Path(filterd.__file__).parent
_FUNCTIONS = ("search", "match", "fullmatch", "findall", "finditer", "split", "sub")
_MOST_SAMPLES = 4
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
_ENDS = ("\0", "!", "\n\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One expression, and how the product asks it."""

    name: str
    pattern: re.Pattern[Any]
    is_anchored: bool
    """Whether it is only ever asked at the beginning of a text."""

    def run(self, text: Any) -> None:
        """Ask it as the product does, to the end."""
        if self.is_anchored:
            self.pattern.match(text)
        else:
            deque(self.pattern.finditer(text), maxlen=0)


def expressions() -> Iterator[Expression]:
    """Those of modules, by their names, and those written where they are used, by their lines."""
    for info in pkgutil.walk_packages([str(ROOT)], "filterd."):
        if ".migrations" in info.name or info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        source = Path(module.__file__ or "").read_text(encoding="utf-8")
        if "re." not in source and not any(isinstance(value, re.Pattern) for value in vars(module).values()):
            continue  # walking a syntax tree is what takes long here
        tree = ast.parse(source)
        short = info.name.removeprefix("filterd.")
        used = _uses(tree)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and name in used:
                is_anchored = used[name] <= {"match", "fullmatch"}
                yield Expression(name=f"{short}.{name}", pattern=value, is_anchored=is_anchored)
        for line, function, pattern in _inline(tree):
            is_anchored = function in ("match", "fullmatch")
            yield Expression(name=f"{short}:{line}", pattern=re.compile(pattern), is_anchored=is_anchored)


def _uses(tree: ast.Module) -> dict[str, set[str]]:
    """Name of an expression -> what is called on it; what is handed about counts as searching."""
    found: dict[str, set[str]] = defaultdict(set)
    called = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _FUNCTIONS:
            found[node.value.id].add(node.attr)
            called.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in called:
            found[node.id].add("search")
    return found


def _inline(tree: ast.Module) -> Iterator[tuple[int, str, Any]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.func, ast.Attribute):
            continue
        first, owner = node.args[0], node.func.value
        is_module = isinstance(owner, ast.Name) and owner.id == "re"
        if is_module and node.func.attr in _FUNCTIONS and isinstance(first, ast.Constant):
            yield node.lineno, node.func.attr, first.value


def attacks(pattern: re.Pattern[Any]) -> Iterator[Callable[[int], Any]]:
    """Texts as functions of their length; octets for an expression of octets."""
    is_text = isinstance(pattern.pattern, str)
    sampler = _Sampler(pattern)
    seen: set[tuple[str, str]] = set()
    for before, body in sampler.repeats():
        if not body or (before, body) in seen:
            continue
        seen.add((before, body))
        for lead, unit, end in itertools.product((before, ""), (body, before + body), _ENDS):
            yield partial(_text, lead, unit, end, is_text)


def _text(lead: str, unit: str, end: str, is_text: bool, size: int) -> Any:  # noqa: FBT001  # a private switch
    return _made(lead + unit * (size // len(unit)) + end, is_text)


def _made(text: str, is_text: bool) -> Any:  # noqa: FBT001  # a private switch
    return text if is_text else text.encode("latin-1", "replace")


class _Sampler:
    """Texts that parts of an expression match."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self._flags = pattern.flags
        self._tree = _parser.parse(pattern.pattern, pattern.flags)
        self._is_text = isinstance(pattern.pattern, str)
        literals = {chr(value) for op, value in self._walk(self._tree) if op is _constants.LITERAL}
        self._candidates = [*sorted(literals), *" a0A-.:=\t\n\r<>\"'/\\@_", "\u0301", "\u00e9", "\u0430"]
        self._found: list[tuple[str, str]] = []

    def repeats(self) -> list[tuple[str, str]]:
        """What comes before each repetition, and what is repeated."""
        self._all(self._tree, "")
        return self._found

    def _walk(self, tree: Any) -> Iterator[tuple[Any, Any]]:
        for op, value in tree:
            yield op, value
            for inner in _inner(op, value):
                yield from self._walk(inner)

    def _all(self, tree: Any, before: str) -> list[str]:
        """A few texts that ``tree`` matches behind ``before``; notes the repetitions on the way."""
        texts = [""]
        for op, value in tree:
            lead = before + texts[0]
            if op in _REPEATS:
                least, most, body = value
                bodies = self._all(body, lead)
                if most > 8:
                    self._found += [(lead, body) for body in bodies]
                pieces = [text * least for text in bodies]
            elif op is _constants.BRANCH:
                pieces = [text for branch in value[1] for text in self._all(branch, lead)]
            elif _inner(op, value):
                pieces = self._all(_inner(op, value)[0], lead)
            else:
                pieces = self._characters(op, value)
            pieces = pieces or [""]
            texts = [a + b for a, b in itertools.islice(itertools.product(texts, pieces), _MOST_SAMPLES * 2)]
        return list(dict.fromkeys(texts))[: _MOST_SAMPLES * 2]

    def _characters(self, op: Any, value: Any) -> list[str]:
        if op is _constants.LITERAL:
            return [chr(value)]
        if op not in (_constants.IN, _constants.ANY, _constants.NOT_LITERAL, _constants.CATEGORY):
            return [""]
        one = _parser.SubPattern(self._tree.state, [(op, value)])
        compiled = _compiler.compile(one, self._flags)
        fits = [
            c for c in self._candidates if (self._is_text or c.isascii()) and compiled.match(_made(c, self._is_text))
        ]
        return fits[:_MOST_SAMPLES]


def _inner(op: Any, value: Any) -> list[Any]:
    """The trees within a node, but for assertions, which match no text of their own."""
    if op in _REPEATS:
        return [value[2]]
    if op is _constants.SUBPATTERN:
        return [value[3]]
    if op is _constants.BRANCH:
        return list(value[1])
    return [value] if op is _constants.ATOMIC_GROUP else []
