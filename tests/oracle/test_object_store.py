"""polars, DuckDB and pyarrow read the tables of a dataset in a bucket in place: the same rows as those of the dataset in a
folder. DuckDB reads through pyarrow, because its own client is an extension that it downloads."""

from pathlib import Path

import duckdb
import polars
import pyarrow.dataset
import pyarrow.fs
import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDOFTHETESTS", "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests", "AWS_REGION": "us-east-1"}
TABLES = {"cases": "case_id", "slices": "slice_id", "masks": "mask_id", "predictions": "mask_id", "metrics": "mask_id"}


@pytest.fixture(scope="module")
def store(medcosmos, samples, tmp_path_factory):
    """A dataset in a folder, the same in a bucket, and the endpoint of the bucket."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://127.0.0.1:%d" % server.get_host_and_port()[1]
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint, "MEDCOSMOS_CACHE": str(folder / "cache")}.items():
            patch.setenv(name, value)
        _filesystem(endpoint).create_dir("lab")
        for dataset in (folder / "data", "s3://lab/data"):
            medcosmos("build", samples / "raw", "--out", dataset, "--source", "acdc", "--source", "drive", "--quiet")
            medcosmos("predict", dataset, "--model", "otsu-box", "--quiet")
            medcosmos("evaluate", dataset, "--quiet")
        yield folder / "data", endpoint
    server.stop()


def _filesystem(endpoint: str) -> pyarrow.fs.S3FileSystem:
    return pyarrow.fs.S3FileSystem(
        access_key=KEYS["AWS_ACCESS_KEY_ID"],
        secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region=KEYS["AWS_REGION"],
        endpoint_override=endpoint,
        allow_bucket_creation=True,
    )


def _local(data: Path, table: str) -> polars.DataFrame:
    return polars.read_parquet(f"{data}/{table}/**/*.parquet", hive_partitioning=False)


def _remote(endpoint: str, table: str) -> pyarrow.dataset.Dataset:
    return pyarrow.dataset.dataset(f"lab/data/{table}", filesystem=_filesystem(endpoint), format="parquet")


@pytest.mark.parametrize("table", TABLES)
def test_polars(store, table):
    data, endpoint = store
    options = {
        "aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
        "aws_region": KEYS["AWS_REGION"],
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true",
    }
    url = f"s3://lab/data/{table}/**/*.parquet"
    read = polars.scan_parquet(url, storage_options=options, hive_partitioning=False).collect()
    assert read.height > 0 and read.equals(_local(data, table))


@pytest.mark.parametrize("table", TABLES)
def test_pyarrow(store, table):
    data, endpoint = store
    read = polars.from_arrow(_remote(endpoint, table).to_table())
    assert read.height > 0 and read.equals(_local(data, table))


@pytest.mark.parametrize("table, key", TABLES.items())
def test_duckdb(store, table, key):
    data, endpoint = store
    remote, local = _remote(endpoint, table), f"'{data}/{table}/**/*.parquet'"  # noqa: F841 (read by DuckDB by its name)
    statement = f"SELECT source, count(*), min({key}), max({key}) FROM {{}} GROUP BY ALL ORDER BY source"
    assert duckdb.sql(statement.format("remote")).fetchall() == duckdb.sql(statement.format(local)).fetchall()


def test_objects_are_the_files(store):
    data, endpoint = store
    filesystem = _filesystem(endpoint)
    listed = filesystem.get_file_info(pyarrow.fs.FileSelector("lab/data", recursive=True))
    objects = {info.path.removeprefix("lab/data/") for info in listed if info.is_file}
    objects = {key for key in objects if not key.startswith(".medcosmos/")}
    files = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    assert objects == {path for path in files if not path.startswith(".medcosmos/")}
    for path in objects:
        assert filesystem.open_input_file(f"lab/data/{path}").readall() == (data / path).read_bytes(), path
