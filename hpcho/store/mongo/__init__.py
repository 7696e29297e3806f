"""The cluster's store: a MongoDB, in hyperopt's own format, so that hyperopt's workers and scripts can take part.

    jobs            the trials, as hyperopt has them; what is hpcho's own stands under ``hpcho`` (documents.py)
    job_ids         the next tid, of the whole database
    fs.*            GridFS: attachments, and results too large for a document
    hpcho_records   the run's records, and the number of the last numbered change (following.py)

Only this room and ``hpcho.store.administration`` import pymongo; it is imported where a store is opened.
"""

from hpcho.store.mongo.connection import connected
from hpcho.store.mongo.store import MongoStore, connect

__all__ = ["MongoStore", "connect", "connected"]
