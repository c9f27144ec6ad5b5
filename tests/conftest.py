"""What holds for every test."""

from __future__ import annotations

import os

import hypothesis

# Under continuous integration the same examples are drawn every time: a find of chance belongs to the change that
# made it, not to the next one. Everywhere else new ones are drawn.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")
