import pytest


@pytest.fixture(autouse=True, scope="session")
def data_folder(tmp_path_factory):
    """Embeddings are kept in a data folder of the tests' own."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNILEARN_LAB_DATA", str(folder))
        yield folder
