"""Prediction without the library that trained the model."""
