import pytest

from hamlearn.kernels import compiled


@pytest.fixture(params=["compiled", "grid"])
def back_end(request, monkeypatch):
    """Either engine: the compiled loop, and the torch grid as on a machine where the loop was not built."""
    if request.param == "grid":
        monkeypatch.setattr(compiled, "_loop", lambda: None)
    elif not compiled.is_compiled():
        pytest.skip("the compiled loop was not built")
