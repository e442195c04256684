"""The check that the mesh runs in containers: built, started, used, broken and taken down for real."""
