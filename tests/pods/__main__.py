"""`python -m tests.pods`: build what the tests take, which is half an hour's work the first time."""

from tests.cluster.providers.provider import chosen

from .conftest import IMAGES

if __name__ == "__main__":
    chosen().prepare(IMAGES)
