"""A command whose module imports a package that is not installed."""

import a_package_that_is_not_there  # type: ignore[import-not-found]

x = a_package_that_is_not_there
