"""Links from a task to where its results are."""
