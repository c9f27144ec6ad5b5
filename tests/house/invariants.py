"""The invariants of custody: what each promises, and the tests that prove it.

A test says which it proves by ``pytest.mark.invariant("I1", "I3")``; a state machine by the same around its TestCase.
The table of ``docs/delivery.md`` is generated from here, and an invariant without a test turns the suite red.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
_MARK = "pytest.mark.invariant"

INVARIANTS = {
    "I1": "What was acknowledged is with the next hop or, durably, in quarantine or the SMS inbox.",
    "I2": "A fault of ours is never permanent: no 5xx but for policy, size, syntax, relaying, or from the next hop.",
    "I3": "A second copy only where an answer was lost after acceptance (RFC 1047), at most one for each such fault.",
    "I4": "What is delivered or released is what came, octet for octet, but for our block and forged headers.",
    "I5": "Sender, recipients and their order reach the next hop as they were accepted.",
    "I6": "Every message ends once: relayed, held, refused or deferred, or counted as never having arrived whole.",
    "I7": "No reply leaves anything of one message for the next.",
    "I8": "Mail that passes does not need the database.",
    "I9": "A verdict is never invented: what was not scanned says so.",
    "I10": "A held message leaves by a confirmed release, a person's audited deletion, or its declared days only.",
}


def proofs() -> dict[str, list[tuple[str, str]]]:
    """Invariant -> (path below ``tests``, name of the test), sorted."""
    found: dict[str, list[tuple[str, str]]] = {id: [] for id in INVARIANTS}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if _MARK not in text:
            continue
        for name, ids in _marked(ast.parse(text)):
            for id in ids:
                found.setdefault(id, []).append((path.relative_to(TESTS).as_posix(), name))
    return found


def _marked(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The marked tests of a module."""
    named: dict[str, tuple[str, ...]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if ids := _ids(decorator, named):
                    yield node.name, ids
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, ids = node.targets[0].id, _ids(node.value, named)
            if ids and name.startswith("Test"):
                yield name, ids
            elif ids:
                named[name] = ids


def _ids(expression: ast.expr, named: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What an expression marks with, itself or by a name for a mark."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == _MARK:
            return tuple(str(ast.literal_eval(argument)) for argument in node.args)
        if isinstance(node, ast.Name) and node.id in named:
            return named[node.id]
    return ()


def table() -> str:
    """The table of ``docs/delivery.md``."""
    lines = ["| id | promise | tests |", "|---|---|---|"]
    proved = proofs()
    for id, promise in INVARIANTS.items():
        tests = ", ".join(f"[{name}](../tests/{path})" for path, name in proved[id])
        lines.append(f"| {id} | {promise} | {tests} |")
    return "\n".join(lines)
