"""Evaluation of a trained model on its test data: its quality, the champion's, and explanations."""
