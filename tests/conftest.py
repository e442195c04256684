"""Only the list of fixture modules; fixtures live in tests/support."""

pytest_plugins: list[str] = []
