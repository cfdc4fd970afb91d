"""Tables: reading, inspecting and splitting them, and their schema."""

import csv

LONGEST_ROW = 33_554_432
# Python's default refuses long cells that training takes, and a request may hold such a cell as well.
csv.field_size_limit(LONGEST_ROW)
