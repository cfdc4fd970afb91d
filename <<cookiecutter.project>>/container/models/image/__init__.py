"""The models of pictures: as those of tables, but that features are the bytes of a square, row by row."""
