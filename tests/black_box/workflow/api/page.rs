//! The status page as people use it: in a real browser, over TCP, with a token.

mod entry;
mod history;
mod looks;
mod news;
mod truth;

use biomero_tests::browser::Browser;
use biomero_tests::{Result, Trouble};
use serde_json::{Value, json};

use super::tcp::{free, set, token};
use super::{Asked, Desk};

/// What nobody may take for markup, and what may not turn around what stands beside it.
const HOSTILE: &str = "<img src=x onerror=alert(1)> \u{202e}gpj.exe";

/// Its job tells that it runs, fails if its images say so, and where they say `waits` tells a word for each file that is made
/// beside its data.
const TALKS: &str = r#"#!/bin/bash
#SBATCH --job-name=$jobname
#SBATCH --time=10
cd "$DATA_PATH/data/in"
echo "it has begun"
if [ -e fail ] && [ ! -e ../../../mended ]; then cat fail >&2; exit 7; fi
if [ -e waits ]; then
  until [ -e ../../../first ]; do sleep 0.1; done
  echo "<b>the first</b> word"
  until [ -e ../../../last ]; do sleep 0.1; done
fi
cp -r . ../out/
"#;

/// A workflow with a parameter that may be any text.
const COPY: &str = r#"{"schema-version": "biomero-0.1", "name": "Copy", "description": "", "command-line": "copy",
    "container-image": {"image": "biomerotests/copy", "type": "oci"}, "inputs": [
    {"id": "label", "type": "string", "optional": true, "default-value": "cells"}]}"#;

/// A worker that is asked over TCP, and a browser that looks at its page.
struct Visit {
    browser: Browser,
    asked: Asked,
    address: String,
    token: String,
}

impl Visit {
    fn to(mut desk: Desk) -> Result<Self> {
        let (token, file) = token(&desk)?;
        let address = free();
        set(&mut desk, "LISTEN", &address);
        set(&mut desk, "TOKENS", file);
        desk.worker.write("job.template", TALKS)?;
        desk.worker.write("descriptors/copy.json", COPY)?;
        desk.worker.set("POLL", "1s");
        let asked = Asked::over(desk)?;
        Ok(Self { browser: Browser::at(&address)?, asked, address, token })
    }

    /// Shows the token, with the keyboard alone.
    fn enter(&mut self) -> Result<()> {
        self.browser.open("/login")?;
        self.browser.types(&self.token)?;
        self.browser.press("Enter")?;
        self.browser.shows("h1", "Overview")
    }

    /// Asks for something that is not as others ask; its id.
    fn submit(&self, request: &Value) -> Result<String> {
        let answer = biomero_tests::http::post(&self.asked.socket, "/v1/workflows", request)?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        Ok(answer.json()["id"].as_str().unwrap_or_default().to_owned())
    }

    /// One whose image is a real one, which nothing is done to.
    fn submit_image(&self, name: &str) -> Result<String> {
        let images = self.asked.desk.worker.folder().join("cells");
        biomero_tests::cluster::sample::cells(&images, &[name])?;
        let mut request = self.asked.request("image", &[])?;
        let image = std::fs::read_dir(&images).into_iter().flatten().flatten().next();
        request["inputs"] = json!([image.map(|entry| entry.path())]);
        request["policy"] = json!({ "convert": false });
        self.submit(&request)
    }

    /// Tells a job that waits to go on.
    fn tell(&self, word: &str) -> Result<()> {
        let path = self.asked.desk.data().join(word);
        std::fs::write(&path, "").map_err(Trouble::doing(format!("write {}", path.display())))
    }

    /// The page has neither complained nor asked anybody but the worker.
    fn is_content(&mut self) -> Result<()> {
        let heard = self.browser.heard()?;
        assert_eq!(heard.complaints, Vec::<String>::new());
        let own = format!("http://{}/", self.address);
        let others: Vec<&String> =
            heard.requests.iter().filter(|request| !request.starts_with(&own)).collect();
        assert!(others.is_empty() && !heard.requests.is_empty(), "asked elsewhere: {others:?}");
        Ok(())
    }
}
