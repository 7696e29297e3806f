"""From the name of an experiment (a path or a URL) to what it is and what it has: its settings, space and store."""

from hpcho.opening.experiments import Opened, Run, find_job_dir, open_experiment, open_run, open_trials

__all__ = ["Opened", "Run", "find_job_dir", "open_experiment", "open_run", "open_trials"]
