"""The same job done by others, each small, honest, at its best sensible settings, checked for equal counts."""
