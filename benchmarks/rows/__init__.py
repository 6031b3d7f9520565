"""The rows of the table: what is measured, beside whom, and the figure to reach."""
