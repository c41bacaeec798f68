"""The ops pages, one area in each module, which builds a view that is shown as a page or as JSON."""
