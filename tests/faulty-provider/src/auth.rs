//! Credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::answer::Answer;
use crate::defect::Defect;
use crate::http1::Headers;
use crate::state::Inner;

/// Why a request is refused, if it is.
pub(crate) fn check(inner: &Inner, headers: &Headers) -> Option<Answer> {
    let (user, password) = inner.options.credentials.as_ref()?;
    let has = |defect| inner.has(defect);
    let given = headers.text("authorization");
    let (scheme, rest) = given.split_once(' ').unwrap_or((&given, ""));
    if scheme.eq_ignore_ascii_case("bearer") && rest.trim().is_empty() {
        if has(Defect::EmptyBearerAccepted) {
            return None;
        }
        if has(Defect::EmptyBearerIs400) {
            return Some(Answer::text(400, "the token is empty"));
        }
    }
    let known = if has(Defect::SchemeCaseMatters) {
        scheme == "Basic"
    } else {
        scheme.eq_ignore_ascii_case("basic")
    };
    let decoded = STANDARD.decode(rest.trim()).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    if pair.is_none()
        && !given.is_empty()
        && has(Defect::UnreadableIs500)
        && !scheme.eq_ignore_ascii_case("bearer")
    {
        return Some(Answer::text(500, "the credentials cannot be read"));
    }
    let Some((a_user, a_password)) = pair.filter(|_| known) else {
        return Some(refusal(inner));
    };
    let empty = a_user.is_empty() && a_password.is_empty() && has(Defect::EmptyCredentialsAccepted);
    let same_user = a_user == user || has(Defect::AnyUser);
    let same_password = a_password == password
        || has(Defect::PasswordByPrefix) && a_password.starts_with(password.as_str());
    (!(empty || same_user && same_password)).then(|| refusal(inner))
}

/// The answer to a request without the right credentials.
pub(crate) fn refusal(inner: &Inner) -> Answer {
    let status = if inner.has(Defect::RefusedWith403) {
        403
    } else {
        401
    };
    let answer = Answer::text(status, "the credentials are missing or wrong");
    if inner.has(Defect::NoChallenge) {
        return answer;
    }
    answer.with("WWW-Authenticate", "Basic realm=\"Restricted\"")
}
