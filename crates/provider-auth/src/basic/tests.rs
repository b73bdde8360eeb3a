//! What is let in and what is not.

use proptest::prelude::*;

use super::*;

fn auth() -> BasicAuth {
    BasicAuth::new([
        Credentials::new("admin", "s3cr3t").unwrap(),
        Credentials::new("ci", "with:colon").unwrap(),
        Credentials::new("admin", "the next one").unwrap(),
    ])
}

fn ask(auth: &BasicAuth, values: &[&[u8]]) -> Result<String, AuthError> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
    }
    auth.authenticate(&headers)
        .map(|identity| identity.name.to_string())
}

fn basic(pair: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(pair)).into_bytes()
}

#[test]
fn each_of_several_credentials_is_let_in_under_its_own_name() {
    let auth = auth();
    for (pair, name) in [
        ("admin:s3cr3t", "admin"),
        ("ci:with:colon", "ci"),
        ("admin:the next one", "admin"),
    ] {
        assert_eq!(ask(&auth, &[&basic(pair)]), Ok(name.to_owned()), "{pair}");
    }
}

#[test]
fn parts_of_different_credentials_do_not_mix() {
    let auth = auth();
    for pair in [
        "ci:s3cr3t",
        "admin:with:colon",
        "admin:",
        ":s3cr3t",
        ":",
        "admin:s3cr3t ",
        "admin:s3cr3",
        "Admin:s3cr3t",
        "admin: s3cr3t",
    ] {
        assert_eq!(
            ask(&auth, &[&basic(pair)]),
            Err(AuthError::Invalid),
            "{pair}"
        );
    }
}

#[test]
fn the_scheme_is_read_in_any_case() {
    for scheme in ["basic", "BASIC", "bAsIc"] {
        let header = format!("{scheme} {}", STANDARD.encode("admin:s3cr3t"));
        assert_eq!(ask(&auth(), &[header.as_bytes()]), Ok("admin".to_owned()));
    }
    let spaced = format!("Basic   {}", STANDARD.encode("admin:s3cr3t"));
    assert_eq!(ask(&auth(), &[spaced.as_bytes()]), Ok("admin".to_owned()));
}

#[test]
fn everything_else_is_refused_for_its_own_reason() {
    let good = basic("admin:s3cr3t");
    let unpadded = STANDARD.encode("admin:s3cr3t!").replace('=', "");
    for (values, reason) in [
        (vec![], AuthError::Missing),
        (vec![&good[..], &good[..]], AuthError::Repeated),
        (vec![&good[..], b"Bearer x"], AuthError::Repeated),
        (vec![&b""[..]], AuthError::UnknownScheme),
        (vec![b"Basic"], AuthError::UnknownScheme),
        (vec![b"Basicx"], AuthError::UnknownScheme),
        (vec![b"BasicYWRtaW46czNjcjN0"], AuthError::UnknownScheme),
        (vec![b"Basic\tYWRtaW46czNjcjN0"], AuthError::UnknownScheme),
        (vec![b"Bearer "], AuthError::UnknownScheme),
        (vec![b"Bearer YWRtaW46czNjcjN0"], AuthError::UnknownScheme),
        (vec![b"Basic ***"], AuthError::Malformed),
        (vec![b"Basic YWRt aW46czNjcjN0"], AuthError::Malformed),
        (vec![b"Basic YWRtaW4="], AuthError::Malformed),
        (vec![b"Basic "], AuthError::Malformed),
        (vec![b"Basic \xff\xfe"], AuthError::Malformed),
        (
            vec![[b"Basic ", unpadded.as_bytes()].concat().leak()],
            AuthError::Malformed,
        ),
    ] {
        assert_eq!(ask(&auth(), &values), Err(reason), "{values:?}");
    }
}

#[test]
fn holding_nothing_lets_nobody_in() {
    let none = BasicAuth::new([]);
    assert_eq!(ask(&none, &[&basic(":")]), Err(AuthError::Invalid));
    assert_eq!(ask(&none, &[]), Err(AuthError::Missing));
}

#[test]
fn clones_share_what_is_replaced() {
    let auth = auth();
    let layer_side = auth.clone();
    auth.replace([Credentials::new("new", "pw").unwrap()]);
    assert_eq!(ask(&layer_side, &[&basic("new:pw")]), Ok("new".to_owned()));
    assert_eq!(
        ask(&layer_side, &[&basic("admin:s3cr3t")]),
        Err(AuthError::Invalid)
    );
}

#[test]
fn debug_shows_users_and_nothing_else() {
    assert_eq!(
        format!("{:?}", auth()),
        r#"BasicAuth { users: ["admin", "ci", "admin"], .. }"#
    );
}

proptest! {
    #[test]
    fn no_header_is_let_in_by_chance(value in proptest::collection::vec(32_u8..=255, 0..80)) {
        // DEL is the one byte of that range which no header can hold.
        let value: Vec<u8> = value.into_iter().filter(|&b| b != 127).collect();
        prop_assert!(ask(&auth(), &[&value]).is_err());
    }

    #[test]
    fn what_is_held_is_let_in_whatever_it_is_made_of(
        user in "[^:]{1,20}",
        password in ".{1,40}",
        other in ".{0,40}",
    ) {
        let Ok(held) = Credentials::new(user.clone(), password.clone()) else {
            return Ok(());
        };
        let auth = BasicAuth::new([held]);
        prop_assert_eq!(
            ask(&auth, &[&basic(&format!("{user}:{password}"))]),
            Ok(user.clone())
        );
        if other != password {
            prop_assert_eq!(
                ask(&auth, &[&basic(&format!("{user}:{other}"))]),
                Err(AuthError::Invalid)
            );
        }
    }
}
