"""The operators' commands: a file for each group of them."""
