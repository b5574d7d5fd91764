"""A file of a store is gone or cut in half (F12, F14): it opens, on an older whole state or on none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pipeline.batch import Batch, Position
from pipeline.store import Store

HORIZON_S = 86_400
BATCHES = 3


def position(number: int) -> Position:
    return Position(previous=number - 1, offset=number)


def filled(folder: Path) -> list[Path]:
    """Make a store of several files; return them."""
    store = Store(folder, HORIZON_S)
    for number in range(BATCHES):
        marks = [(bytes([number]) * 16, number, 0)]
        store.apply(Batch(rows=[], expired=[], marks=marks, sessions=[], dead=[], position=position(number)), [], {})
        store.close()
        store = Store(folder, HORIZON_S)
    store.close()
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_a_store_opens_whichever_of_its_files_is_gone_or_half(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    wholes: list[Position | None] = [None, *(position(number) for number in range(BATCHES))]
    for file in filled(whole):
        for half in (False, True):
            hurt = tmp_path / f"{file.name}-{half}"
            shutil.copytree(whole, hurt)
            if half:
                os.truncate(hurt / file, (hurt / file).stat().st_size // 2)
            else:
                (hurt / file).unlink()
            store = Store(hurt, HORIZON_S)
            found = store.stored().position
            store.close()
            assert found in wholes, f"{file} {'half' if half else 'gone'}"
