"""What can become of the clone that is kept between runs: it is read whole, made anew, or told of;
never read in part."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from reconciler.errors import SourceError
from reconciler.source import open_source
from reconciler.source.checkout import Checkout
from tests.source.repositories import commit, config_map, git, new_repository
