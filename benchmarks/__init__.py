"""The commands behind every figure in the documents; see README.md."""
