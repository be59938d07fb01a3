import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.config.dsn import Dsn, parse_dsn, parse_endpoint
from swt3_agent.errors import ConfigError

SECRET = "axm_live_SECRETMARKER"


@pytest.mark.parametrize(
    ("text", "endpoint", "tenant"),
    [
        (f"https://{SECRET}@ledger.example.com/T_1", "https://ledger.example.com", "T_1"),
        (f"https://{SECRET}@Ledger.Example.COM:8443/a", "https://ledger.example.com:8443", "a"),
        (f"https://{SECRET}@[2001:db8::1]:9/T", "https://[2001:db8::1]:9", "T"),
        (f"http://{SECRET}@127.0.0.1:8080/T", "http://127.0.0.1:8080", "T"),
        (f"http://{SECRET}@[::1]/T", "http://[::1]", "T"),
        (f"http://{SECRET}@localhost/T", "http://localhost", "T"),
    ],
)
def test_a_connection_string_names_ledger_key_and_tenant(
    text: str, endpoint: str, tenant: str
) -> None:
    dsn = parse_dsn(text)
    assert dsn == Dsn(endpoint, SECRET, tenant)
    assert "SECRETMARKER" not in repr(dsn)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sovereign",
        f"ftp://{SECRET}@host/T",
        f"http://{SECRET}@ledger.example.com/T",
        f"http://{SECRET}@127.0.0.1.example.com/T",
        f"https://{SECRET}@host",
        f"https://{SECRET}@host/",
        f"https://{SECRET}@host//T",
        f"https://{SECRET}@host/a/b",
        f"https://{SECRET}@host/T/",
        f"https://{SECRET}@host/T?x=1",
        f"https://{SECRET}@host/T#x",
        f"https://{SECRET}:password@host/T",
        f"https://{SECRET}@host:0/T",
        f"https://{SECRET}@host:65536/T",
        f"https://{SECRET}@::1:9/T",
        f"https://{SECRET}@[::zz]/T",
        f"https://{SECRET}@host/%54",
        f"https://{SECRET}@host/T T",
        f"https://{SECRET}@host/T\n",
        "https://key_SECRETMARKER@host/T",
        "https://axm_@host/T",
        "https://@host/T",
        f"https://{SECRET}@evil.example.com@host/T",
        f" https://{SECRET}@host/T",
    ],
)
def test_what_names_no_ledger_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_dsn(text)
    assert caught.value.code == "CONFIG_DSN"
    assert "SECRETMARKER" not in f"{caught.value} {caught.value.remedy}"


@given(st.text(max_size=80).map(lambda text: f"https://axm_SECRETMARKER{text}"))
def test_no_text_at_all_makes_an_error_show_the_key(text: str) -> None:
    told = ""
    try:
        parse_dsn(text)
    except ConfigError as error:
        told = f"{error} {error.remedy}"
    assert "SECRETMARKER" not in told


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("https://ledger.example.com/", "https://ledger.example.com"),
        ("https://Ledger.example.com/tenant/a//", "https://ledger.example.com/tenant/a"),
        ("http://127.0.0.2:80", "http://127.0.0.2:80"),
    ],
)
def test_an_endpoint_has_no_trailing_slash(text: str, endpoint: str) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "http://ledger.example.com",
        f"https://{SECRET}@ledger.example.com",
        "https://host/a?x=1",
        "https://host/a b",
        "ledger.example.com",
        "http://10.0.0.1",
        "http://128.0.0.1",
    ],
)
def test_an_endpoint_is_https_and_holds_no_key(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_endpoint(text)
    assert "SECRETMARKER" not in f"{caught.value} {caught.value.remedy}"
