"""Real servers for tests and for work by hand: each starter is a context manager that owns what it starts."""
