"""One module a bench: each has `run(session) -> Section`."""
