"""The routing file that the project ships, for tests.

People edit `routing.yaml` while they try the product, and no test may depend on what they made of it. `.ci/run` holds
this copy to the shipped file: a change of that one is a change of both.
"""

from pathlib import Path
from typing import Final

ROUTING: Final = Path(__file__).parents[1] / "routing.yaml"
