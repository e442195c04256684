"""The operator's policy as data: read, stored in revisions, changed."""
