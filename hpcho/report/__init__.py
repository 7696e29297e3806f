"""The report: trials as data, figures, tables, and one HTML file that opens offline."""

from hpcho.report.output import check_formats, render
from hpcho.report.summary import Summary, summarise
from hpcho.report.table import Row, best, param_names, pareto, rows, trial_rows, write_csv

__all__ = [
    "Row",
    "Summary",
    "best",
    "check_formats",
    "param_names",
    "pareto",
    "render",
    "rows",
    "summarise",
    "trial_rows",
    "write_csv",
]
