"""The functions of moto that bridges replace: looked up and put back, and refused when they have another shape."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

WRITTEN_FOR = "5.2.5"


def current(owner: type, name: str, *parameters: str) -> Callable[..., Any]:
    """The function of moto that a bridge replaces.

    :raises SystemExit: if this moto has no such function, or one with other parameters: the bridge may no longer fit.
    """
    found = getattr(owner, name, None)
    function = found.fget if isinstance(found, property) else found
    if not callable(function) or tuple(inspect.signature(function).parameters) != parameters:
        raise SystemExit(
            f"moto {version('moto')} has no {owner.__name__}.{name}({', '.join(parameters)}), which a bridge in "
            f"local/, written for moto {WRITTEN_FOR}, replaces: adapt the bridge, or remove it if its test passes with "
            "--plain"
        )
    return function


def replace(owner: type, name: str, value: object) -> None:
    """Put a bridge in the place of a function."""
    setattr(owner, name, value)
