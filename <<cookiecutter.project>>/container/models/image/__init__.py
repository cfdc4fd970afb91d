"""Models of images, with the same interface as those of tables; features are the bytes of a square."""
