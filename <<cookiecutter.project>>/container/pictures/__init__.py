"""Pictures: how files of them are found, judged, split, decoded and described by numbers."""

STATISTICS = ("brightness", "contrast", "sharpness", "aspect", "entropy")
