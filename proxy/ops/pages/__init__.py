"""The ops pages, one area a module: each gathers a view, which is shown as a page or as JSON."""
