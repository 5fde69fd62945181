"""Load the Python file of a transformation: one public function. It is loaded by path, never from ``sys.path``."""

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from searchsync.errors import BadSource

FUNCTION = "transform"

_AS_IT_IS = "It takes one item and returns what its document is made of: def transform(item): ..."


def load(path: Path, code: str) -> Callable[[dict[str, Any]], Any]:
    """Return the function of a file.

    :param path: the file, for messages
    :param code: its text. What runs is this text, and no bytecode of an earlier one
    :raises BadSource: when it cannot be run, or has not exactly the one public function; the message names the line
    """
    try:
        tree = ast.parse(code, str(path))
    except (SyntaxError, ValueError) as error:
        raise BadSource(
            f"{path}:{getattr(error, 'lineno', None) or 1}: not Python: {error}. Correct the file"
        ) from None
    _check(path, tree)
    module = ModuleType(f"searchsync_transform_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look for the module of their class
    try:
        exec(compile(code, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the owner's own file
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        said = f"{type(error).__name__}: {error}"
        raise BadSource(f"{path}:{line_of(error.__traceback__, path)}: it cannot be loaded: {said}") from error
    function = module.__dict__.get(FUNCTION)
    if not callable(function):
        raise BadSource(f"{path}: {FUNCTION} is no function any more when the file was run. {_AS_IT_IS}")
    found: Callable[[dict[str, Any]], Any] = function
    return found


def line_of(traceback: TracebackType | None, path: Path) -> int:
    """Return the last line of a file that a traceback leads through; 0 when it leads through none."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _check(path: Path, tree: ast.Module) -> None:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    public = [node for node in functions if not node.name.startswith("_")]
    function = next((node for node in public if node.name == FUNCTION), None)
    if function is None:
        raise BadSource(f"{path}:1: it has no function {FUNCTION}. {_AS_IT_IS}")
    other = next((node for node in public if node is not function), None)
    if other is not None:
        raise BadSource(
            f"{path}:{other.lineno}: {other.name} is a second public function, and {FUNCTION} is the one that is used. "
            "Begin the names of all others with an underscore"
        )
    if not isinstance(function, ast.FunctionDef):
        raise BadSource(f"{path}:{function.lineno}: {FUNCTION} must be no async function. {_AS_IT_IS}")
    takes = function.args
    if len(takes.posonlyargs + takes.args) != 1 or takes.vararg or takes.kwonlyargs or takes.kwarg or takes.defaults:
        raise BadSource(f"{path}:{function.lineno}: {FUNCTION} must have one argument. {_AS_IT_IS}")
