"""One file per kind of backend, all behind one contract."""
