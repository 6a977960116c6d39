//! What pages are made with: the style, the script, the icon. They are in the program.

use axum::extract::Path;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use crate::api::problem::{Kind, Problem};

/// Where they are.
pub(super) const FOLDER: &str = "/assets/";

struct Asset {
    name: &'static str,
    media: &'static str,
    content: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset { name: "page.css", media: "text/css; charset=utf-8", content: include_str!("assets/page.css") },
    Asset {
        name: "page.js",
        media: "text/javascript; charset=utf-8",
        content: include_str!("assets/page.js"),
    },
    Asset { name: "icon.svg", media: "image/svg+xml", content: include_str!("assets/icon.svg") },
];

/// The address of one: another version has another.
pub(super) fn address(name: &str) -> String {
    format!("{FOLDER}{name}?{}", env!("CARGO_PKG_VERSION"))
}

/// Serves one.
pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let found =
        found.ok_or_else(|| Problem::new(Kind::Absent, "there is no such file", "reload the page"))?;
    let mut response = found.content.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(found.media));
    // Asked for again after a restart with another program; its bytes are few.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=300"));
    Ok(response)
}
