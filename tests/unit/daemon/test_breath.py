import pytest

from swt3_agent.daemon.breath import Breath
from swt3_agent.errors import JournalError


def test_it_ends_the_work_once_the_agent_stops() -> None:
    breath = Breath()
    breath()
    breath.stop()
    with pytest.raises(JournalError) as stopped:
        breath()
    assert stopped.value.code == "STOPPING"
