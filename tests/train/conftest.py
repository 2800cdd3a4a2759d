"""These tests need the extra `train`, which is large: without it they are not collected."""

from importlib.util import find_spec


collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
