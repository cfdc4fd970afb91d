"""Images: finding, inspecting, splitting and decoding their files, and describing them by numbers."""

STATISTICS = ("brightness", "contrast", "sharpness", "aspect", "entropy")
CONFIDENCE = "confidence"  # the probability of the predicted label, another column of the monitor
MISSING = "the workload is image, and this project was generated for tables: generate it with workload=image"
