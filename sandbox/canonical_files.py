"""Files of our own making, under canonical names: nothing about them has to be described."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path


def read_table(path: Path) -> pl.DataFrame:
    """Reads a Parquet file, or a CSV file (`.csv`, `.csv.gz`) with every cell as text.

    Raises:
        LedgerError: If there is no such file, or it is not of its format.
    """
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False)
    except FileNotFoundError as error:
        raise LedgerError(str(path), None, None, "no such file") from error
    except pl.exceptions.NoDataError as error:
        raise LedgerError(path.name, None, None, "no rows; expected at least one event") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LedgerError(path.name, None, None, "not readable as Parquet or CSV") from error
