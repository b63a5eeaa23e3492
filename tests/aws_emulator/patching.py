"""How a supplement changes a class of moto's."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def around(owner: type, name: str) -> Callable[[Function], Function]:
    """Put the decorated function in a method's place; it gets the original first, then what that gets."""

    def install(function: Function) -> Function:
        original = getattr(owner, name)

        @functools.wraps(original)
        def replaced(*arguments: Any, **named: Any) -> Any:
            return function(original, *arguments, **named)

        setattr(owner, name, replaced)
        return function

    return install
