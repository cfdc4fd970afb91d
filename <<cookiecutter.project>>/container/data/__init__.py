"""Tables: their schema, and how they are read, judged and split."""

import csv

LONGEST_ROW = 33_554_432
# Python's csv refuses cells that the files' reader takes, and what is trained on has to be asked for.
csv.field_size_limit(LONGEST_ROW)
