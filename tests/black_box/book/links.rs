//! Every page is in the book, and every link leads to a page and a heading that there are.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use biomero_tests::{Result, binary};

use super::page::{BOOK, Page, SUMMARY};

#[test]
fn every_page_is_a_chapter_and_every_chapter_a_page() -> Result<()> {
    let chapters: Vec<PathBuf> =
        links(&Page::read(SUMMARY)?).into_iter().map(|link| Path::new(BOOK).join(link.target)).collect();
    let listed: BTreeSet<PathBuf> = chapters.iter().cloned().collect();
    assert_eq!(listed.len(), chapters.len(), "{SUMMARY} names a page twice");
    let pages: BTreeSet<PathBuf> = Page::book()?.into_iter().map(|page| page.path).collect();
    assert_eq!(listed, pages, "{SUMMARY} against the files in {BOOK}/");
    Ok(())
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() -> Result<()> {
    let pages = Page::all()?;
    let mut wrong = Vec::new();
    let mut followed = 0;
    for page in &pages {
        for link in links(page).iter().filter(|link| !link.target.contains("://")) {
            followed += 1;
            if let Some(why) = leads_nowhere(page, &link.target, &pages) {
                wrong.push(format!("{}: `{}` {why}", page.place(link.number), link.target));
            }
        }
    }
    assert!(followed > 100, "only {followed} links were found: are they still written as before?");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn leads_nowhere(page: &Page, target: &str, pages: &[Page]) -> Option<String> {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { page.path.clone() } else { joined(&page.path, file) };
    if !binary::workspace().join(&path).exists() {
        return Some(format!("leads to {}, which is not there", path.display()));
    }
    let leads_to = pages.iter().find(|other| other.path == path);
    if page.is_in_book() && !leads_to.is_some_and(Page::is_in_book) {
        return Some("leads out of the book: write the path as code instead".to_owned());
    }
    let anchor = anchor?;
    let anchors = leads_to.map(Page::anchors).unwrap_or_default();
    (!anchors.iter().any(|known| known == anchor))
        .then(|| format!("leads to no heading of {}, which has {}", path.display(), anchors.join(", ")))
}

struct Link {
    number: usize,
    target: String,
}

/// The links of a page's prose, outside of code.
fn links(page: &Page) -> Vec<Link> {
    let mut links = Vec::new();
    for (number, line) in page.prose() {
        // Between backticks stands code; the text of a link may hold some.
        let outside = line.split('`').enumerate().map(|(part, text)| if part % 2 == 0 { text } else { "" });
        let outside: String = outside.collect();
        for rest in outside.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            links.push(Link { number, target: target.to_owned() });
        }
    }
    links
}

/// A relative path, from the folder of a page, without `..`.
fn joined(page: &Path, relative: &str) -> PathBuf {
    let mut path = page.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in Path::new(relative).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}
