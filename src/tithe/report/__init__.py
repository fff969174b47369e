"""From the figures of a run, `report.json`, to a table and pictures. Reads numbers only: no model, no data."""

from tithe.report.bill import bill_table
from tithe.report.curves import curves
from tithe.report.pixels import first_layer
from tithe.report.plan import check_table
from tithe.report.table import table

__all__ = ["bill_table", "check_table", "curves", "first_layer", "table"]
