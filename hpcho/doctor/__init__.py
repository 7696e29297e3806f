"""What works on this machine, this cluster and these hosts, and how to mend what does not.

Each check is a function that gives findings; the command line shows them.
"""

from hpcho.doctor.examination import experiment, machine
from hpcho.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "experiment", "machine"]
