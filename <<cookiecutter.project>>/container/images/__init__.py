"""Pictures: how files of them are found, judged, split, decoded and described by numbers."""

STATISTICS = ("brightness", "contrast", "sharpness", "aspect", "entropy")
CONFIDENCE = "confidence"  # what the monitor watches besides: the probability of the label that a model gives
