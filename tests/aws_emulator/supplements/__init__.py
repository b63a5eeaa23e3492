"""What moto lacks or gets wrong, one module for each AWS service; `apply` mends it in this process."""

import importlib
import pkgutil


def apply() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}").apply()
