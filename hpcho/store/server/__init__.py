"""Finds, starts, secures and stops the MongoDB server of a run that needs one."""

from hpcho.store.server.service import Service, attend, choose_host, mongo_of, way_in

__all__ = ["Service", "attend", "choose_host", "mongo_of", "way_in"]
