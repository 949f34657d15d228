"""django-appointment as a project of its own: what its users write to run it, and the benchmark's data."""
