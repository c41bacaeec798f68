"""The routing file that the project ships, for tests.

People edit `routing.yaml` while they try the product, and tests must not depend on such edits. `.ci/run` checks that
this copy equals the shipped file, so change both together.
"""

from pathlib import Path
from typing import Final

ROUTING: Final = Path(__file__).parents[1] / "routing.yaml"
