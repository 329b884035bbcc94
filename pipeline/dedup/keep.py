"""Which document of a cluster stays: every rule as one number for each document, of which the smallest wins."""

from typing import assert_never

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract.errors import ConfigError, nearest
from pipeline.dedup.config import BestSignal, Keep
from pipeline.dedup.shingles import U64

Dates = npt.NDArray[np.datetime64]
_LAST = np.uint64(2**64 - 1)
_SIGN = np.uint64(1 << 63)


def check_keep(keep: Keep, signals: pa.DataType) -> None:
    """Raise ConfigError where the rule goes by a signal that no stage of this config stores.

    Args:
        keep: the rule.
        signals: type of the column `signals`: stage name -> signal name -> float64.
    """
    if not isinstance(keep, BestSignal):
        return
    known = [f"{stage.name}.{signal.name}" for stage in signals if pa.types.is_struct(stage.type)
             for signal in stage.type]  # fmt: skip
    if keep.best_signal not in known:
        problem = f"no stage under `extract` or `filter` stores a signal '{keep.best_signal}'"
        hint = nearest(keep.best_signal, known) or "add the quality stage that measures it, or choose another rule"
        raise ConfigError("dedup.keep.best_signal", problem, known=known, hint=hint)


def keep_columns(keep: Keep) -> list[str]:
    """The columns of a documents part that the rule looks at."""
    match keep:
        case "earliest":
            return ["date"]
        case "longest":
            return ["text"]
        case BestSignal():
            return [f"signals.{keep.best_signal}"]
        case _:
            assert_never(keep)


def keep_orders(keep: Keep, rows: pa.RecordBatch | pa.Table) -> U64:
    """A number above 0 for each row, shape (rows,): of a cluster the row with the smallest stays."""
    match keep:
        case "earliest":
            return order_by_date(rows["date"].to_numpy(zero_copy_only=False))
        case "longest":
            lengths: U64 = pc.utf8_length(rows["text"]).to_numpy(zero_copy_only=False).astype(np.uint64)
            return _LAST - lengths
        case BestSignal():
            stage, _, signal = keep.best_signal.rpartition(".")
            values = pc.struct_field(rows["signals"], [stage, signal])
            return order_by_signal(values.to_numpy(zero_copy_only=False).astype(np.float64))
        case _:
            assert_never(keep)


def order_by_date(dates: Dates) -> U64:
    """Microseconds since 1970, moved up so that earlier dates stay above 0; no date comes after every date."""
    microseconds = dates.astype("datetime64[us]").astype(np.int64) + (1 << 62)
    return np.where(np.isnat(dates), _LAST, microseconds.astype(np.uint64))


def order_by_signal(values: npt.NDArray[np.float64]) -> U64:
    """The larger the value the smaller the number; what was not measured (NaN) comes last.

    The bits of a float ascend with it once those of negative ones are inverted and the sign bit of the others is set.
    """
    bits = (values + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    ascending = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return np.where(np.isnan(values), _LAST, _LAST - ascending)
