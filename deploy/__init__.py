"""How the line is run: on one machine here, elsewhere by the files beside."""
