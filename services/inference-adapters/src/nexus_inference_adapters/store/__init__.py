"""Models from elsewhere: which there are, how they are fetched, and where they are kept."""

from nexus_inference_adapters.store.bert import write_bert
from nexus_inference_adapters.store.catalogue import Listed, Sampling, catalogue
from nexus_inference_adapters.store.fetcher import Remote, fetch, follows, is_public
from nexus_inference_adapters.store.installed import installed
from nexus_inference_adapters.store.outside import VARIABLES, Outside, open_outside, outside
from nexus_inference_adapters.store.store import RUN_BY, About, Store, Stored

__all__ = [
    "RUN_BY",
    "VARIABLES",
    "About",
    "Listed",
    "Outside",
    "Remote",
    "Sampling",
    "Store",
    "Stored",
    "catalogue",
    "fetch",
    "follows",
    "installed",
    "is_public",
    "open_outside",
    "outside",
    "write_bert",
]
