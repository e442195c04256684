"""One ledger per device: which model of which engine has how much of its memory, and whose turn it is next."""
