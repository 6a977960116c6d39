//! Where a browser shows a token, once: over TCP it has no other way to be known. Over the socket nobody is asked.

use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use biomero_workflow::Steps;
use maud::{Markup, html};
use percent_encoding::percent_decode;

use super::{asset, frame, session};
use crate::api::Shared;
use crate::api::guard::Way;
use crate::api::problem::{Kind, Problem};

/// Asks for a token.
pub(super) async fn ask(Extension(way): Extension<Way>) -> Response {
    match way {
        Way::Socket { .. } => Redirect::to("/").into_response(),
        Way::Tcp { .. } => form(false).into_response(),
    }
}

fn form(is_wrong: bool) -> Markup {
    let content = html! {
        form .login method="post" action="/login" {
            h1 { img src=(asset::address("icon.svg")) alt="" width="32" height="32"; "BIOMERO worker" }
            label for="token" { "Token" }
            input #token type="password" name="token" required autocomplete="current-password" autofocus
                aria-describedby="about" aria-invalid=[is_wrong.then_some("true")];
            @if is_wrong {
                p .wrong role="alert" { "Nobody knows this token." }
            }
            button type="submit" { "Log in" }
            p #about .faint { "Made with " code { "processor api token NAME" } " on the worker." }
        }
    };
    frame::bare("Log in", &content)
}

/// Takes a token, and gives a cookie for it.
pub(super) async fn enter<S: Steps>(
    State(api): State<Shared<S>>,
    Extension(way): Extension<Way>,
    sent: Bytes,
) -> Result<Response, Problem> {
    let Way::Tcp { peer, tokens, is_encrypted } = way else { return Ok(Redirect::to("/").into_response()) };
    let Some(owner) = token(&sent).and_then(|token| tokens.owner(&token).map(str::to_owned)) else {
        tracing::warn!("{peer}: a token was shown to the page that nobody knows");
        return Ok((StatusCode::UNAUTHORIZED, form(true)).into_response());
    };
    let cookie = api.page.sessions.begin(&owner, Instant::now()).map_err(|error| {
        Problem::new(
            Kind::Unavailable,
            format!("no random numbers can be had: {error}"),
            "mount /dev/urandom",
        )
    })?;
    tracing::info!("{peer}: token {owner} was shown to the page");
    let age = session::COUNTS.as_secs();
    Ok(with_cookie(Redirect::to("/").into_response(), &cookie, age, is_encrypted))
}

/// Forgets who it was.
pub(super) async fn leave<S: Steps>(
    State(api): State<Shared<S>>,
    Extension(way): Extension<Way>,
    headers: HeaderMap,
) -> Response {
    if let Some(cookie) = session::cookie(&headers) {
        api.page.sessions.end(cookie);
    }
    match way {
        Way::Socket { .. } => Redirect::to("/").into_response(),
        Way::Tcp { is_encrypted, .. } => {
            with_cookie(Redirect::to("/login").into_response(), "", 0, is_encrypted)
        }
    }
}

fn with_cookie(mut response: Response, value: &str, age: u64, is_encrypted: bool) -> Response {
    let name = session::COOKIE;
    let secure = if is_encrypted { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// The field of the form.
fn token(sent: &[u8]) -> Option<Vec<u8>> {
    let mut fields = sent.split(|byte| *byte == b'&');
    let value = fields.find_map(|field| field.strip_prefix(b"token="))?;
    // People copy what is around it too.
    let token: Vec<u8> =
        percent_decode(value).filter(|byte| !byte.is_ascii_whitespace() && *byte != b'+').collect();
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_without_what_was_copied_around_it() {
        assert_eq!(token(b"token=biomero_ab").as_deref(), Some(&b"biomero_ab"[..]));
        assert_eq!(token(b"a=b&token=+biomero_ab%0d%0a").as_deref(), Some(&b"biomero_ab"[..]));
        assert_eq!(token(b"tokens=a"), None);
        assert_eq!(token(b""), None);
    }
}
