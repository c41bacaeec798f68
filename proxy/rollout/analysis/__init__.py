"""Analysis of the backends' statistics: sliding windows, exact tests, guards. Pure."""
