"""One module per published family of files; a reader that lies here is found by its name."""
