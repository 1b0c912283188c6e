"""The hub: whether it can be reached, by the name, the line, the certificate, the proxy and the token there are.

One request, with a deadline of its own; none where the user forbids it. The clock is compared with
the hub's, since a wrong one makes every certificate invalid.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from localllm.checkup.finding import Area, Finding, Severity, advised, ok, word
from localllm.checkup.known import Known
from localllm.checkup.packages import look_up, set_clock
from localllm.checkup.place import Place
from localllm.errors import LocalLLMError
from localllm.store.access import endpoint_of, find_token, host_of, is_offline
from localllm.store.names import HUB
from localllm.transfer.trust import trust
from localllm.wording.plain import plain

_A = Area.HUB
_MOST_S, _LEAST_S = 0.9, 0.3
"""To be connected, and for the answer; less where less time is left."""

_CLOCK_OFF_S = 300.0
_WHO_AM_I, _LIST = "/api/whoami-v2", "/api/models?limit=1"
_PORTS = {"http": 80, "https": 443}
_OFFLINE = "localllm up --offline"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in small letters."""


def check_hub(known: Known) -> Iterator[Finding]:
    """Ask the hub once, unless that is forbidden."""
    environment = known.place.environment
    if known.place.offline or is_offline(environment):
        yield ok("hub.offline", _A, "The hub is not asked: offline.")
        return
    endpoint = endpoint_of(environment)
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield Finding(
            "hub.address",
            _A,
            Severity.PROBLEM,
            "HF_ENDPOINT is no address of a hub.",
            "nothing can be fetched; it begins with https://",
            f"export HF_ENDPOINT={HUB}",
        )
        return
    try:
        token = find_token(environment)
    except LocalLLMError as error:
        why, fix = advised(error.why, error.fix, "hf auth login")
        yield Finding("hub.token", _A, Severity.PROBLEM, error.what, why, fix)
        token = None
    yield from _ask(known, parts, token)


def _ask(known: Known, parts: SplitResult, token: str | None) -> Iterator[Finding]:
    host = host_of(parts.geturl())
    began = known.place.now()
    within_s = min(_MOST_S, max(_LEAST_S, known.deadline - monotonic()))
    try:
        answer = fetch_answer(parts, token, known.place.environment, within_s)
    except ssl.SSLCertVerificationError as error:
        yield _untrusted(known.place, host, error)
    except LocalLLMError as error:
        why, fix = advised(error.why, error.fix, None)
        yield Finding("hub.certificates", _A, Severity.PROBLEM, error.what, why, fix)
    except (OSError, http.client.HTTPException) as error:
        yield _unreachable(known.place, host, error, within_s)
    else:
        yield judge(host, answer, has_token=token is not None)
        yield from _of_clock(known.place, answer, began)


def fetch_answer(
    parts: SplitResult, token: str | None, environment: Mapping[str, str], within_s: float
) -> Answer:
    """Ask the hub who we are, or, without a token, for anything at all.

    Raises:
        OSError: It cannot be reached, or is not who it says it is.
        HTTPException: What answers speaks no HTTP.
        ConfigError: A file of certificates that is named cannot be used.
    """
    connection, target = _connection(parts, environment, within_s)
    headers = {"User-Agent": "localllm-doctor", "Connection": "close"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    asked = _LIST if token is None else _WHO_AM_I
    try:
        connection.connect()
        if parts.scheme == "https":  # as HTTPSConnection does, which is not there in every process
            secure = trust(environment)
            connection.sock = secure.wrap_socket(connection.sock, server_hostname=parts.hostname)
        connection.request("GET", target + asked, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()})
    finally:
        connection.close()


def _connection(
    parts: SplitResult, environment: Mapping[str, str], within_s: float
) -> tuple[http.client.HTTPConnection, str]:
    """Connect as the library would: through a proxy where one is set for this host."""
    proxy, port = _proxy_for(parts, environment), parts.port or _PORTS[parts.scheme]
    way = proxy or parts
    connection = http.client.HTTPConnection(
        way.hostname or "", way.port or _PORTS.get(way.scheme, 80), timeout=within_s
    )
    if proxy is not None and parts.scheme == "https":
        connection.set_tunnel(parts.hostname or "", port, headers=_for_proxy(proxy))
    return connection, parts.geturl() if proxy and parts.scheme == "http" else parts.path


def _proxy_for(parts: SplitResult, environment: Mapping[str, str]) -> SplitResult | None:
    """Take the one that is set; small letters go before capitals, as in all libraries."""
    proxies: dict[str, str] = {}
    for name in sorted(environment):  # capitals come first
        if name.lower().endswith("_proxy") and environment[name]:
            proxies[name.lower().removesuffix("_proxy")] = environment[name]
    stated = proxies.get(parts.scheme) or proxies.get("all")
    host = parts.netloc.rpartition("@")[2]
    if stated is None or urllib.request.proxy_bypass_environment(host, proxies):  # type: ignore[attr-defined]  # not declared
        return None
    return urlsplit(stated if "://" in stated else f"http://{stated}")


def _for_proxy(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    from base64 import b64encode  # noqa: PLC0415  # rarely needed
    from urllib.parse import unquote  # noqa: PLC0415

    words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(words.encode()).decode()}"}


def judge(host: str, answer: Answer, *, has_token: bool) -> Finding:
    """Say what a hub's answer means."""
    match answer.status:
        case 401 | 403 if has_token:
            return Finding(
                "hub.token",
                _A,
                Severity.PROBLEM,
                f"{host} does not take your token.",
                "models that want a licence agreed to, and private ones, cannot be fetched; others are "
                "refused with it, too",
                "hf auth login",
            )
        case 407:
            return Finding(
                "hub.proxy-refuses",
                _A,
                Severity.PROBLEM,
                "The proxy wants a name and a password (407).",
                "nothing can be fetched through it",
                "export HTTPS_PROXY=http://USER:PASSWORD@proxy.example.com:3128",
            )
        case 429:
            wait = answer.headers.get("retry-after", "")
            return Finding(
                "hub.too-many",
                _A,
                Severity.WARNING,
                f"{host} answers nobody here for now: too many requests (429).",
                f"it says to wait {plain(wait)} s" if wait else "with a token more are allowed",
                "localllm doctor" if has_token else "hf auth login",
            )
        case status if status >= 500:  # noqa: PLR2004  # HTTP
            return Finding(
                "hub.broken",
                _A,
                Severity.WARNING,
                f"{host} is out of order ({status}).",
                "nothing can be fetched for now; what is on the disk can be served",
                _OFFLINE,
            )
    if answer.headers.get("content-type", "").startswith("text/html"):
        return Finding(
            "hub.other-page",
            _A,
            Severity.WARNING,
            f"What answers for {host} is a web page, and no hub.",
            "a hotel's or a company's network wants you to log in first",
            _OFFLINE,
        )
    return ok(
        "hub.answers", _A, f"{host} answers" + (" and takes your token." if has_token else ".")
    )


def _unreachable(place: Place, host: str, error: Exception, within_s: float) -> Finding:
    if isinstance(error, socket.gaierror):
        why = f"its name is not found ({error.strerror}): no network, or a name server that is down"
        fix = f"{look_up(place, host.partition(':')[0])}; {_OFFLINE}"
    elif isinstance(error, OSError) and "407" in str(error):
        return judge(host, Answer(407, {}), has_token=False)
    elif isinstance(error, TimeoutError):
        why = f"it did not answer within {within_s:.1f} s: no network, a firewall, or a slow line"
        fix = f"curl -sSI https://{word(host)}; {_OFFLINE}"
    else:
        why = plain(str(error)) or type(error).__name__
        fix = f"curl -sSI https://{word(host)}; {_OFFLINE}"
    return Finding(
        "hub.unreachable",
        _A,
        Severity.WARNING,
        f"{host} cannot be reached.",
        f"{why}. No model and no engine can be fetched; what is on the disk can be served",
        fix,
    )


def _untrusted(place: Place, host: str, error: ssl.SSLCertVerificationError) -> Finding:
    late = "not yet valid" in str(error) or "expired" in str(error)
    why = plain(getattr(error, "verify_message", None) or str(error))
    return Finding(
        "hub.certificate",
        _A,
        Severity.PROBLEM,
        f"The certificate of {host} is not trusted.",
        f"{why}: "
        + (
            "is the clock right?"
            if late
            else "a company's proxy that reads along has its own authority"
        ),
        set_clock(place) if late else "export SSL_CERT_FILE=/etc/ssl/certs/company.pem",
    )


def _of_clock(place: Place, answer: Answer, now: float) -> Iterator[Finding]:
    there = None
    with suppress(TypeError, ValueError):
        there = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    if there is None:
        return
    off = now - there
    if abs(off) < _CLOCK_OFF_S:
        yield ok("clock.right", Area.CLOCK, "The clock is right.")
        return
    shown = time.strftime("%Y-%m-%d %H:%M", time.gmtime(now))
    yield Finding(
        "clock.off",
        Area.CLOCK,
        Severity.PROBLEM,
        f"The clock is {abs(off) / 60:.0f} minutes {'fast' if off > 0 else 'slow'} ({shown} UTC).",
        "certificates look invalid, and keys and caches end at the wrong time",
        set_clock(place),
    )
