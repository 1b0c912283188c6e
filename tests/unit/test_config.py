"""What config.toml and the environment may say, and what is said of a mistake in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.config.reading import read_settings
from localllm.config.settings import Floors, Naming, Settings
from localllm.errors import ConfigError, ModelNotFound
from localllm.user_profiles import Lora, Manner, Sampling, UserProfile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(file: Path, text: str, environment: dict[str, str] | None = None) -> ConfigError:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_settings(file, environment or {})
    return caught.value


def test_without_a_file_everything_is_the_default_and_no_file_is_made(file: Path) -> None:
    settings = read_settings(file, {})

    assert settings == Settings()
    assert (settings.port, settings.allow_cpu, settings.engine) == (11711, False, None)
    assert not file.exists()


def test_the_file_changes_what_it_names_and_nothing_else(file: Path) -> None:
    file.write_text('port = 8080\norigins = ["http://a"]\n[supervision]\nmax_crashes = 5\n')

    settings = read_settings(file, {})

    assert (settings.port, settings.origins) == (8080, ("http://a",))
    assert settings.supervision.max_crashes == 5
    assert settings.supervision.stable_after_s == Settings().supervision.stable_after_s
    assert settings.max_body_mib == Settings().max_body_mib


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ({"LOCALLLM_PORT": "9000"}, "port", 9000),
        ({"LOCALLLM_PORT": ""}, "port", 8080),
        ({"LOCALLLM_ENGINE": "llama-server"}, "engine", "llama-server"),
        ({"LOCALLLM_LLAMA_SERVER": "/opt/ls"}, "llama_server", "/opt/ls"),
        ({"LOCALLLM_ALLOW_CPU": "true"}, "allow_cpu", True),
        ({"LOCALLLM_ALLOW_CPU": "1"}, "allow_cpu", True),
        ({"LOCALLLM_MAX_BODY_MIB": "8"}, "max_body_mib", 8),
        ({"LOCALLLM_LISTEN": "0.0.0.0"}, "listen", "0.0.0.0"),
        ({"LOCALLLM_AUTH": "always"}, "auth", "always"),
        ({"LOCALLLM_ALLOWED_HOSTS": "a.lan,b.lan:80"}, "allowed_hosts", ("a.lan", "b.lan:80")),
        ({"LOCALLLM_MAX_CONNECTIONS": "64"}, "max_connections", 64),
        ({"LOCALLLM_HOME": "/x", "PORT": "1"}, "port", 8080),
    ],
)
def test_the_environment_goes_over_the_file(
    file: Path, said: dict[str, str], field: str, value: object
) -> None:
    file.write_text('port = 8080\nengine = "xllamacpp"\n')

    assert getattr(read_settings(file, said), field) == value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 80", "there is no setting prot"),
        ("[supervision]\nmax_crash = 1", "there is no setting supervision.max_crash"),
        ('port = "80"', "port"),
        ('allow_cpu = "yes"', "allow_cpu"),
        ('origins = "http://a"', "origins"),
        ("listen = 'my box'", "listen takes an IP address"),
        ("auth = 'never'", "auth"),
        ("allowed_hosts = 'a.lan'", "allowed_hosts"),
        ("allowed_hosts = ['*']", "allowed_hosts[0]"),
        ("allowed_hosts = ['http://a.lan']", "allowed_hosts[0]"),
        ("allowed_hosts = ['a.lan', '*.lan']", "allowed_hosts[1]"),
        ("max_connections = 1", "max_connections"),
        ("[prefix]\nmax_gib = -1", "prefix.max_gib"),
        ("[prefix]\nmax_gib = inf", "prefix.max_gib"),
        ("[prefix]\nmax_gib = nan", "prefix.max_gib"),
        ("[supervision]\nmax_crashes = 1.5", "supervision.max_crashes"),
        ("[plan.min_tps]\ncode = true", "plan.min_tps.code"),
        ("profiles = 1", "profiles"),
        ("[profiles.a]\n[profiles.b]\nuse = 'coding'", "profiles.b.use"),
        ("[profiles.b.sampling]\ntop_p = 'low'", "profiles.b.sampling.top_p"),
        ("[[profiles.b.lora]]\nscale = 1.0", "profiles.b.lora[0] has no file"),
        ("[profiles.b]\nengine_args = '--seed 7'", "profiles.b.engine_args"),
        ("[profiles.b]\npooling = 'max'", "profiles.b.pooling"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(file: Path, text: str, named: str) -> None:
    error = refusal(file, text)

    assert named in error.why
    assert str(file) in error.what
    assert str(file) in error.fix
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("prot = 80", "write port instead of prot in"),
        ("[supervision]\nmax_crash = 1", "write max_crashes instead of max_crash in"),
        ("[plan]\nreserve = 1", "write reserve_mib instead of reserve in"),
        ("[plan.min_tps]\ncoding = 9", "write code instead of coding in"),
        ("[downloads]\nconnection = 9", "write connections instead of connection in"),
        ("[prefix]\nenable = false", "write enabled instead of enable in"),
        ("[profiles.coding]\nctx = 9\nmodel = 'a'", "write context instead of ctx in"),
        (
            "[profiles.coding.sampling]\ntemprature = 1",
            "write temperature instead of temprature in",
        ),
        ("[profiles.coding]\nloras = []", "write lora instead of loras in"),
        ("[[profiles.coding.lora]]\nfiles = 'a'", "write file instead of files in"),
        ("[profiles.coding]\nzzz = 1", "correct"),
        ("port = 0", "correct"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(file: Path, text: str, step: str) -> None:
    assert refusal(file, text).fix.startswith(f"{step} {file}:")


def test_a_wrong_variable_is_named(file: Path) -> None:
    error = refusal(file, "", {"LOCALLLM_PORT": "many"})

    assert "LOCALLLM_PORT" in error.what
    assert error.why == "port takes a whole number from 1 to 65535"


def test_a_word_is_a_number_in_the_environment_alone(file: Path) -> None:
    error = refusal(file, 'max_body_mib = "8"', {"LOCALLLM_PORT": "9000"})

    assert "max_body_mib" in error.why


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        (b"port = ", ":1:8 is not TOML.", "Invalid value (at its end)"),
        (b"port = 1\nport = 2", ":2:9 is not TOML.", "Cannot overwrite a value (at its end)"),
        (b"[x\nport = 2", ":1:3 is not TOML.", "Expected ']' at the end of a table declaration"),
        (b"# fine\n# \xff", " cannot be read.", "line 2 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_toml_is_an_error_with_its_place(
    file: Path, text: bytes, what: str, why: str
) -> None:
    file.write_bytes(text)

    with pytest.raises(ConfigError) as caught:
        read_settings(file, {})

    assert (caught.value.what, caught.value.why) == (f"{file}{what}", why)


def test_a_file_of_windows_is_read_all_the_same(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfport = 80\r\nauth = 'always'\r\n")

    assert read_settings(file, {}) == Settings(port=80, auth="always")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("port = 0", "port is 0, and takes a whole number from 1 to 65535"),
        ("port = -1", "port is -1, and takes a whole number from 1 to 65535"),
        ("port = 65536", "takes a whole number from 1 to 65535"),
        ("max_body_mib = 0", "max_body_mib is 0, and takes a whole number of at least 1"),
        ("[supervision]\nmax_crashes = 0", "takes a whole number of at least 1"),
        ("[supervision]\nrequest_wait_s = -1", "takes a number over 0"),
        ("[plan]\nreserve_mib = -1", "takes a whole number of at least 0"),
        ("[plan.min_tps]\nchat = -1", "plan.min_tps.chat is -1, and takes a number of at"),
        ("[profiles.a]\ncontext = 0", "profiles.a.context is 0, and takes"),
        ("[profiles.a.sampling]\nmin_p = 2", "takes a number from 0 to 1"),
        (
            "[profiles.a]\ndraft = 'mtp'\ndraft_tokens = 0",
            "profiles.a.draft_tokens is 0, and takes a whole number from 1 to 64",
        ),
        ("[profiles.a]\ndraft_tokens = 3", "draft_tokens is of no use without a draft"),
    ],
)
def test_a_figure_out_of_range_is_an_error_with_its_bound(file: Path, text: str, why: str) -> None:
    error = refusal(file, text)

    assert why in error.why
    assert str(file) in error.what


PROFILES = """\
engine = "xllamacpp"
[profiles.coding]
model = "qwen3-coder-30b-a3b"
use = "code"
context = 65536
parallel = 2
quant = "Q4_K_M"
kv_type = "q8_0"
engine = "llama-server"
sampling = { temperature = 0.7, top_p = 0.8, top_k = 20, min_p = 0.05 }
[profiles.quick]
model = "smollm2-135m-instruct"
"""


def test_a_profile_says_what_to_serve_and_how(file: Path) -> None:
    file.write_text(PROFILES)

    settings = read_settings(file, {})

    assert settings.profile("coding", file) == UserProfile(
        model="qwen3-coder-30b-a3b",
        use="code",
        context=65536,
        parallel=2,
        quant="Q4_K_M",
        kv_type="q8_0",
        engine="llama-server",
        sampling=Sampling(temperature=0.7, top_p=0.8, top_k=20, min_p=0.05),
    )
    assert settings.profile("quick", file) == UserProfile(model="smollm2-135m-instruct")
    assert settings.engine == "xllamacpp"


def test_a_profile_says_what_goes_with_a_model(file: Path) -> None:
    file.write_text("""\
[profiles.quick]
draft = "hf:owner/small:Q4_K_M"
draft_tokens = 5
engine_args = ["--seed", "7"]
[[profiles.quick.lora]]
file = "~/pirate.gguf"
scale = 0.5
[[profiles.quick.lora]]
file = "/models/terse.gguf"
[profiles.search]
use = "embed"
pooling = "mean"
""")

    profiles = read_settings(file, {}).profiles

    assert profiles == {
        "quick": UserProfile(
            draft="hf:owner/small:Q4_K_M",
            draft_tokens=5,
            lora=(Lora("~/pirate.gguf", 0.5), Lora("/models/terse.gguf", 1.0)),
            engine_args=("--seed", "7"),
        ),
        "search": UserProfile(use="embed", pooling="mean"),
    }


def test_the_environment_goes_over_every_profile(file: Path) -> None:
    file.write_text(PROFILES)

    settings = read_settings(file, {"LOCALLLM_ENGINE": "vllm"})

    assert {settings.profile(name, file).engine for name in settings.profiles} == {"vllm"}
    assert settings.profile("coding", file).context == 65536


def test_the_file_itself_goes_over_no_profile(file: Path) -> None:
    file.write_text(PROFILES)

    settings = read_settings(file, {"LOCALLLM_PORT": "9000"})

    assert [settings.profile(n, file).engine for n in ("coding", "quick")] == ["llama-server", None]


def test_an_unknown_profile_is_not_found_but_the_nearest_is_named(file: Path) -> None:
    file.write_text(PROFILES)

    with pytest.raises(ModelNotFound) as caught:
        read_settings(file, {}).profile("codng", file)

    assert caught.value.what == "There is no profile 'codng': did you mean coding?"
    assert caught.value.why == f"the profiles in {file} are coding, quick"
    assert "--profile coding" in caught.value.fix
    assert caught.value.exit_code == 5


def test_without_profiles_an_unknown_one_is_answered_with_where_they_are_written() -> None:
    with pytest.raises(ModelNotFound) as caught:
        Settings().profile("coding", Path("/here/config.toml"))

    assert caught.value.why == "/here/config.toml has none"
    assert caught.value.fix == "write [profiles.coding] in /here/config.toml"


def test_what_the_planner_should_weigh_is_unset_until_the_user_says_it(file: Path) -> None:
    file.write_text('[plan]\nranking = ["a", "b"]\nreserve_mib = 512\nmin_tps = { code = 15 }\n')

    unset, said = Settings().plan, read_settings(file, {}).plan

    assert (unset.min_tps, unset.ranking, unset.reserve_mib) == (Floors(), (), 0)
    assert (said.ranking, said.reserve_mib) == (("a", "b"), 512)
    assert (said.min_tps.code, said.min_tps.chat) == (15.0, None)


def test_a_profile_has_variants_and_names_may_be_mapped(file: Path) -> None:
    file.write_text(
        '[names]\nhosted = true\n[names.map]\n"claude-*haiku*" = "small:fast"\n'
        "[profiles.x.variants.fast]\nthinking = false\nmax_tokens = 100\ntop_k = 3\n"
    )

    settings = read_settings(file, {})

    assert settings.names == Naming(hosted=True, map={"claude-*haiku*": "small:fast"})
    fast = Manner(thinking=False, max_tokens=100, top_k=3)
    assert settings.profiles["x"].variants == {"fast": fast}


@pytest.mark.parametrize(
    ("text", "why", "fix"),
    [
        (
            "[profiles.x.variants.fast]\ntemprature = 1\n",
            "there is no setting profiles.x.variants.fast.temprature",
            "write temperature instead of temprature",
        ),
        (
            "[profiles.x.variants.Fast]\ntop_k = 1\n",
            "'Fast' is no name for profiles.x.variants",
            "",
        ),
        ("[profiles.x.variants.'a:b']\ntop_k = 1\n", "'a:b' is no name for", ""),
        (
            "[names]\nhostd = true\n",
            "there is no setting names.hostd",
            "write hosted instead of hostd",
        ),
    ],
)
def test_a_mistake_in_a_variant_or_in_names_is_named(
    file: Path, text: str, why: str, fix: str
) -> None:
    error = refusal(file, text)

    assert why in error.why
    assert fix in error.fix
