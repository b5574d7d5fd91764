"""One module a bench, named as on the command line: `bench(session)` measures and adds rows to the table."""
