"""For scripts that call hyperopt's ``fmin``: its ``MongoTrials`` on today's pymongo.

    from hpcho.compat import MongoTrials
    trials = MongoTrials("mongo://user@host:27017/db/jobs", exp_key="mnist")
    fmin(objective, space, algo=tpe.suggest, max_evals=100, trials=trials, max_queue_len=8)

Workers are ``hpcho worker --mongo-url ... --exp-key mnist --trust-pickle``, or hyperopt's own.
"""

from hpcho.compat.trials import MongoTrials

__all__ = ["MongoTrials"]
