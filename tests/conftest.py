"""What holds for every test: a property is refuted by an example, never by how long one took on a busy machine."""

import signal

from hypothesis import HealthCheck, settings

from tests import lanes

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Whoever starts the tests in the background of a shell without job control has them ignore SIGINT, and so would every
# process they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    """Let one lane of tests be asked for; see ``tests/lanes.py``."""
    parser.addoption("--lane", choices=[lane.name for lane in lanes.LANES], help="only the tests of one lane")


def pytest_collection_modifyitems(config, items):
    """Leave the other lanes' tests out."""
    lane = config.getoption("--lane")
    if lane:
        others = [item for item in items if lanes.lane_of(item.path) != lane]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if lanes.lane_of(item.path) == lane]
