"""Independent fits on as many cores as torch may use: the same numbers as one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

__all__ = ["side_by_side"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_BLAS = ThreadpoolController()


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """``work(item)`` for each item, in their order.

    Matrix products are on one thread each meanwhile: most of their time is numpy's, which lets
    go of the interpreter, and more threads a product would wait for each other.
    """
    with (
        _BLAS.limit(limits=1),
        ThreadPoolExecutor(max(1, min(len(items), torch.get_num_threads()))) as threads,
    ):
        yield from threads.map(work, items)
