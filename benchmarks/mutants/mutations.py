"""The faults of a module: which of cosmic-ray's are made, and one kind of our own.

cosmic-ray replaces every operator by every other. Of these a few are taken that a person could
write by mistake: an edge moved, a sign turned, a condition negated. It deletes no statement; we do.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword, Name
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARY = (
    "Add_Sub", "Sub_Add", "Mul_Add", "Mul_Div", "Div_Mul", "Div_FloorDiv", "FloorDiv_Mul",
    "Mod_Add", "Pow_Mul", "RShift_LShift", "LShift_RShift", "BitOr_BitAnd", "BitAnd_BitOr",
    "BitXor_BitOr",
)  # fmt: skip
COMPARISONS = (
    "Eq_NotEq", "Eq_LtE", "Eq_GtE", "NotEq_Eq", "NotEq_Lt", "NotEq_Gt", "Lt_LtE", "Lt_GtE",
    "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is",
)  # fmt: skip
UNARY = ("USub_UAdd", "Delete_Invert", "Delete_Not")
OTHERS = (
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr",
    "ReplaceOrWithAnd", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer",
    "NumberReplacer", "ZeroIterationForLoop",
)  # fmt: skip

TWINS = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one fault.

    Attributes:
        path: The module's.
        place: The function or class that the fault is in; "" outside of any.
        old: The lines without it, each without its indentation.
        new: The lines with it.
        source: The module's text with it.
    """

    path: str
    place: str
    old: str
    new: str
    source: str

    @property
    def name(self) -> str:
        """What it is known by: where and what, by no number of a line."""
        return f"{self.path} {self.place}: {self.old or '(nothing)'} -> {self.new or '(nothing)'}"

    @property
    def key(self) -> str:
        """A digest of its text, by which its result is found again."""
        return sha256(f"{self.path}\n{self.source}".encode()).hexdigest()


class StatementRemover(Operator):  # type: ignore[misc]  # cosmic-ray tells no types
    """Puts `pass` in the place of a call, a raise, or an assignment to what there is already."""

    @override
    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "simple_stmt" and _is_act(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    @override
    def mutate(self, node: Any, index: int) -> Any:
        del index
        first = node.children[0]
        node.children[0] = Keyword("pass", first.start_pos, first.get_first_leaf().prefix)
        return node

    @classmethod
    @override
    def examples(cls) -> tuple[Any, ...]:
        return (Example("f(x)\n", "pass\n"), Example("x += 1\n", "pass\n"))


class TwinReplacer(Operator):  # type: ignore[misc]  # cosmic-ray tells no types
    """Calls `max` instead of `min`, and so on."""

    @override
    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(node, Name) and node.value in TWINS:
            yield node.start_pos, node.end_pos

    @override
    def mutate(self, node: Any, index: int) -> Any:
        del index
        node.value = TWINS[node.value]
        return node

    @classmethod
    @override
    def examples(cls) -> tuple[Any, ...]:
        return (Example("min(a, b)", "max(a, b)"),)


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All faults of a module, in the order of their lines; none twice.

    Left out are annotations, what only type checkers hold, and the words of errors.

    Args:
        path: The module's.
        source: Its text.
    """
    tree = ast.parse(source)
    silent, lines = _silent_places(tree), source.splitlines(keepends=True)
    found: dict[str, tuple[tuple[int, int], Mutant]] = {}
    for statement in tree.body:  # each by itself: a short text is parsed soon
        first, last = _lines_of(statement)
        before, after = "".join(lines[:first]), "".join(lines[last:])
        for (line, column), text in _faults("".join(lines[first:last])):
            start = line + first, column
            whole = before + text + after
            if not any(since <= start < until for since, until in silent) and _compiles(whole):
                made = Mutant(path, _place(tree, start[0]), *_changed(source, whole), whole)
                found.setdefault(_meaning(text), (start, made))
    return [made for _, made in sorted(found.values(), key=lambda pair: pair[0])]


def _faults(source: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Where each fault begins in a text, and the text with it."""
    nodes = list(ast_nodes(get_ast(source)))
    for operator in _operators():
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, (start, _end) in enumerate(places):
            try:
                text = mutate_code(source, operator, occurrence)
            except AttributeError:  # cosmic-ray's, of an exception with a dotted name
                continue
            if text is not None and text != source:
                yield start, text


def _lines_of(statement: ast.stmt) -> tuple[int, int]:
    """The first of its lines, decorators too, and the one after its last; from 0."""
    decorators = getattr(statement, "decorator_list", [])
    first = min((one.lineno for one in decorators), default=statement.lineno)
    return first - 1, statement.end_lineno or first


class _Plain(ast.NodeTransformer):
    """Writes `not a == b` as `a != b`, and no `not not a`."""

    INVERSE: ClassVar[dict[type[ast.cmpop], type[ast.cmpop]]] = {
        ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
        ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE,
        ast.LtE: ast.Gt,
    }  # fmt: skip

    @override
    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        inner = node.operand
        if not isinstance(node.op, ast.Not):
            return node
        if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Not):
            return inner.operand
        if isinstance(inner, ast.Compare) and len(inner.ops) == 1:
            inner.ops = [self.INVERSE[type(inner.ops[0])]()]
            return inner
        return node


def _meaning(text: str) -> str:
    """Equal for two texts that differ in how a condition is negated only."""
    return ast.dump(_Plain().visit(ast.parse(text)))


def planted(path: str, source: str, old: str, new: str) -> Mutant:
    """A fault that somebody wrote down, as a text and what stands in its place.

    Raises:
        ValueError: If the text is not there once.
    """
    if source.count(old) != 1:
        raise ValueError(f"{path}: got {source.count(old)} times, expected once: {old!r}")
    text = source.replace(old, new)
    line = source[: source.index(old)].count("\n") + 1
    return Mutant(path, _place(ast.parse(source), line), *_changed(source, text), text)


def _operators() -> list[Any]:
    names = [f"ReplaceBinaryOperator_{one}" for one in BINARY]
    names += [f"ReplaceComparisonOperator_{one}" for one in COMPARISONS]
    names += [f"ReplaceUnaryOperator_{one}" for one in UNARY]
    made = [get_operator(f"core/{name}")() for name in (*names, *OTHERS)]
    return [*made, StatementRemover(), TwinReplacer()]


def _is_act(statement: Any) -> bool:
    """Whether a statement does something and is gone without a name being missing."""
    if statement.type == "raise_stmt":
        return True
    if statement.type == "expr_stmt":
        augmented = statement.children[1].type == "operator" and statement.children[1].value != "="
        stored = statement.children[0].type in ("atom_expr", "power")
        return augmented or stored or statement.children[1].type == "augassign"
    return statement.type in ("atom_expr", "power")


def _silent_places(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where a fault changes nothing that runs, or words only; lines from 1, columns from 0."""
    places = []
    for node in ast.walk(tree):
        silent: list[ast.AST | None] = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            silent.append(node.returns)
        elif isinstance(node, (ast.arg, ast.AnnAssign)):
            silent.append(node.annotation)
        elif isinstance(node, ast.ClassDef):
            silent += node.decorator_list  # frozen or not: type checkers hold that
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            silent += node.exc.args
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            silent += [node.test, *node.body]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            silent += node.value.args if ast.unparse(node.value.func).startswith("_LOG.") else []
        places += [_span(part) for part in silent if part is not None]
    return places


def _span(node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _changed(source: str, text: str) -> tuple[str, str]:
    """The lines that differ, before and after."""
    before, after = source.splitlines(), text.splitlines()
    same = 0
    while before[same] == after[same]:
        same += 1
    last = 0
    while last < min(len(before), len(after)) - same and before[-1 - last] == after[-1 - last]:
        last += 1
    old, new = before[same : len(before) - last], after[same : len(after) - last]
    return " ".join(" ".join(old).split()), " ".join(" ".join(new).split())


def _place(tree: ast.Module, line: int) -> str:
    """The names of the class and function that a line is in."""
    return ".".join(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and node.lineno <= line <= (node.end_lineno or node.lineno)
    )
