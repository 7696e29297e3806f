"""A database as hyperopt's own scripts and workers see it: documents and files, exactly in hyperopt's format.

``hpcho.store.mongo`` keeps hpcho's own experiments in the same format; here are hyperopt's, whose results hold whatever
BSON can, and whose objective is a pickle in GridFS.
"""

from hpcho.store.mongo.connection import Connection
from hpcho.store.stock.documents import Documents, connect
from hpcho.store.stock.publishing import publish
from hpcho.store.stock.serving import StockStore, result_of
from hpcho.store.stock.url import Entrance, entrance

__all__ = ["Connection", "Documents", "Entrance", "StockStore", "connect", "entrance", "publish", "result_of"]
