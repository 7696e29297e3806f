"""hpcho tunes the hyperparameters of Keras models, on a laptop or a SLURM cluster."""

__version__ = "0.1.0"
