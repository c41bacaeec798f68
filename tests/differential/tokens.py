"""Strategies for tokens and their header: valid ones, and every kind of invalid one."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.people import ABSENT, AMARA, BOLA, OTHER_TOKEN, TOKEN, claims, encode, sign, sign_bytes

ODD_TIMES: Final[tuple[JSON, ...]] = (0, -1, True, [], {}, 1e300)
ODD_ALGORITHMS: Final[tuple[JSON, ...]] = (None, ["HS256"], "ES256", "HS256 ", "none")
RAW_PAYLOADS: Final = (
    b"",
    b"{",
    b"\xff",
    b"{}x",
    b'{"userID":"\xff","exp":4e9}',
    b' {"exp":4000000000} ',
    b'{"userID":1,"userID":"' + AMARA.encode() + b'"}',
    b'"quoted"',
    b"NaN",
    b'{"exp":' + b"9" * 400 + b"}",
    b'{"__proto__":{"userID":"' + AMARA.encode() + b'"}}',
    b'\xef\xbb\xbf{"exp":4000000000}',
)
_ODD_USERS: Final[list[JSON]] = [
    *(None, 5, True, "abc", "", ABSENT, BOLA.upper()),
    [AMARA],
    {"$gt": ""},
    {"_id": AMARA},
    [],
    {},
]
TOKENS: Final = st.one_of(
    st.sampled_from([TOKEN, OTHER_TOKEN]),
    st.integers(0, 3).map(lambda index: f"<token {index}|{TOKEN}>"),
    st.sampled_from(
        [
            *("", "abc", "a.b.c", "a.b", f"{TOKEN}x", f"x{TOKEN}", TOKEN[:-1], TOKEN.rpartition(".")[0], f"{TOKEN}.x"),
            TOKEN.rpartition(".")[0] + ".",
            sign(claims(AMARA), algorithm="HS384"),
            sign(claims(AMARA), algorithm="HS512"),
            sign(claims(AMARA), algorithm="RS256"),
            sign(claims(AMARA), secret="other"),
            sign(claims(AMARA), header={"alg": "none"}),
            sign(claims(AMARA), header={"alg": "HS256"}),
            sign(claims(AMARA), header={"typ": "JWT"}),
            sign(claims(AMARA), header=[1]),
            sign(claims(AMARA), header={"alg": "HS256", "typ": "x"}),
            sign(claims(AMARA), header={"alg": "hs256"}),
            sign("text"),
            sign([1]),
            sign(5),
            sign({}),
            sign(claims(AMARA, exp=1_700_000_100)),
            sign(claims(AMARA, exp="4000000000")),
            sign(claims(AMARA, exp=4e9 + 0.5)),
            sign(claims(AMARA, exp=None)),
            sign(claims(AMARA, nbf=4_000_000_000)),
            sign(claims(AMARA, nbf="soon")),
            sign(claims(AMARA, iat=4_000_000_000)),
            sign(claims(AMARA, iat="then")),
            sign({"iat": 1, "exp": 4_000_000_000}),
            *(sign(claims(user)) for user in _ODD_USERS),
            encode(b'{"alg":"HS256"') + ".e30.x",
            encode(b'{"alg":"HS256"}') + "." + encode(b"{") + ".x",
            encode(b'{"alg":"HS256","typ":"JWT"}') + "." + encode(b"{not json}") + ".x",
            encode(b"\xff\xfe") + ".e30.x",
            *(sign({**claims(AMARA), "exp": value}) for value in ODD_TIMES),
            *(sign({**claims(AMARA), "nbf": value}) for value in ODD_TIMES),
            sign(claims(AMARA, aud="x", iss=1, sub=[], jti={})),
            sign(claims(AMARA), header={"alg": "HS256", "typ": "JWT", "crit": ["x"], "kid": "y"}),
            *(sign(claims(AMARA), header={"alg": name}) for name in ODD_ALGORITHMS),
            *(sign_bytes(payload) for payload in RAW_PAYLOADS),
            *(f"{TOKEN}{end}" for end in ("=", "==", "A", "AA", "%20", ",x", "\xe9")),
            TOKEN.replace("-", "+").replace("_", "/"),
            TOKEN.upper(),
            sign(claims(AMARA), header={"alg": "none"}).rpartition(".")[0] + ".",
            sign(claims(AMARA), header={"alg": "none", "typ": "JWT"}).rpartition(".")[0],
            *(sign({**claims(AMARA), "iat": value}) for value in ODD_TIMES),
            *(sign(claims(AMARA, **{name: None})) for name in ("nbf", "iat", "exp")),
            *(
                f".{TOKEN}",
                TOKEN.replace(".", "..", 1),
                TOKEN.replace(".", ". ", 1),
                f"{TOKEN}\t",
                f"\t{TOKEN}",
                "..",
                ".",
            ),
        ]
    ),
)
AUTHORISATIONS: Final = st.one_of(
    TOKENS.map(lambda token: f"Bearer {token}"),
    TOKENS.map(lambda token: f"bearer {token}"),
    TOKENS.map(lambda token: f"Bearer  {token}"),
    TOKENS.map(lambda token: f"x {token} y"),
    TOKENS,
    st.sampled_from(["Bearer", "Bearer ", " ", "", "Basic dTpw", "Bearer\t" + TOKEN]),
)
