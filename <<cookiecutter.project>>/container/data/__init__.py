"""Tables: their schema, and how they are read, judged and split."""
