"""Compiled models as flat arrays, and the small C library that predicts with them.

`train` writes the arrays beside the portable model, with NumPy alone. The library is built from the C files
of this folder, when the image is built or where a machine has a compiler. Without it the portable model
serves.
"""
