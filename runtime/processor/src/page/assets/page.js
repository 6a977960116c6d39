// What pages gain by a script: the reader's own time, news as they happen, logs as they grow. All of it works without.
// Whatever comes from elsewhere becomes text, never markup: only whole answers of our own pages are parsed.
"use strict";

const SECOND = 1000;
const PACE = 3 * SECOND;
const PATIENCE = 5 * SECOND;
const LONGEST_LOG = 400_000;
const TOPICS = ["requested", "started", "taken-up", "step-done", "step-failed", "paused", "resubmitted", "cancel-asked",
  "withdrawn", "retry-asked", "gathered", "over"];

const times = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function tellTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.valueOf())) {
      time.title = time.textContent;
      time.textContent = times.format(moment);
    }
  }
}

// Fetches this page again and takes what is live of it; at most once a second, and once more for what came meanwhile. Where
// nobody answers, or too many ask, it comes again later.
let due = false;
let busy = false;
let last = "";

async function refresh() {
  due = true;
  if (busy) return;
  busy = true;
  while (due) {
    due = false;
    let pause = SECOND;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (answer.ok) replace(await answer.text());
      due ||= answer.status === 429 || answer.status >= 500;
      if (!answer.ok) pause = PATIENCE;
    } catch {
      tell("not connected", true);
      due = true;
      pause = PATIENCE;
    }
    await new Promise((done) => setTimeout(done, pause));
  }
  busy = false;
}

function replace(text) {
  if (text === last) return;
  last = text;
  const fresh = new DOMParser().parseFromString(text, "text/html");
  document.title = fresh.title;
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (!now) continue;
    tellTimes(now);
    // What looks the same stays as it is: what is selected, opened or scrolled in it, and where the focus is.
    const [seen, news] = [old, now].map((within) => contentOf(within));
    if (seen === news) continue;
    const focused = old.contains(document.activeElement) ? wayTo(document.activeElement) : "";
    // A log that is being followed stays as long as it is the same one.
    const logs = [];
    for (const log of now.querySelectorAll("[data-log]")) {
      const kept = document.getElementById(log.id);
      if (kept) logs.push([kept, kept.scrollTop]);
      if (kept) log.replaceWith(kept);
    }
    const opened = [...old.querySelectorAll("details")].map((details) => details.open);
    old.replaceChildren(...now.childNodes);
    old.querySelectorAll("details").forEach((details, place) => { details.open = opened[place] ?? details.open; });
    for (const [log, scrolled] of logs) log.scrollTop = scrolled;
    ready(old);
    if (focused) old.querySelector(focused)?.focus({ preventScroll: true });
  }
}

// What there is to be seen, without what the script itself has noted.
function contentOf(within) {
  const copy = within.cloneNode(true);
  for (const log of copy.querySelectorAll("[data-log]")) log.replaceWith(log.id);
  for (const details of copy.querySelectorAll("details")) details.open = false;
  return copy.innerHTML;
}

// What finds the same thing in another page: its id, or where it leads.
function wayTo(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const href = element.getAttribute("href");
  return href ? `[href="${CSS.escape(href)}"]` : "";
}

const live = document.getElementById("live");

function tell(word, isLost) {
  if (!live) return;
  live.hidden = false;
  live.classList.toggle("lost", isLost);
  if (live.textContent !== word) live.textContent = word;
}

// Nothing is missed: it begins behind what the page was made of, and goes on behind what it has heard. A browser has six
// connections to a server for all of its pages together, so one that nobody looks at lets its own go.
function follow(what) {
  let events;
  let heard = document.body.dataset.after;
  const hear = (event) => {
    heard = event.lastEventId;
    refresh();
  };
  const begin = () => {
    const which = new URLSearchParams();
    if (what !== "*") which.set("workflow", what);
    if (heard) which.set("after", heard);
    events = new EventSource(`/v1/events?${which}`);
    events.onopen = () => tell("live", false);
    events.onerror = () => tell(events.readyState === EventSource.CLOSED ? "reload this page" : "connecting", true);
    for (const topic of TOPICS) events.addEventListener(`workflow.${topic}`, hear);
  };
  const look = () => {
    if (document.hidden) {
      events?.close();
      events = undefined;
    } else if (!events) {
      begin();
    }
  };
  document.addEventListener("visibilitychange", look);
  look();
  // How a job moves on the cluster is no event.
  setInterval(() => {
    if (!document.hidden && document.querySelector("[aria-current=step]")) refresh();
  }, PACE);
}

// Appends what a job says, as text, while somebody looks; of a long log the end is kept.
async function followLog(place) {
  const decoder = new TextDecoder();
  let read = 0;
  for (;;) {
    const leaving = new AbortController();
    const look = () => { if (document.hidden) leaving.abort(); };
    document.addEventListener("visibilitychange", look);
    try {
      const answer = await fetch(place.dataset.log, { headers: { Range: `bytes=${read}-` }, signal: leaving.signal });
      if (!answer.ok) {
        const problem = await answer.json().catch(() => ({}));
        place.textContent = [problem.detail, problem.remedy].filter(Boolean).join("\n");
        return;
      }
      const reader = answer.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || !place.isConnected) {
          reader.cancel();
          return;
        }
        read += value.length;
        append(place, decoder.decode(value, { stream: true }));
      }
    } catch {
      if (!leaving.signal.aborted) {
        place.append("\n(the connection broke off: reload this page)");
        return;
      }
    } finally {
      document.removeEventListener("visibilitychange", look);
    }
    await new Promise((seen) => {
      const look = () => { if (!document.hidden) document.removeEventListener("visibilitychange", look), seen(); };
      document.addEventListener("visibilitychange", look);
      look();
    });
  }
}

function append(place, news) {
  const isAtEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  const text = place.textContent + news;
  place.textContent = text.length > LONGEST_LOG ? text.slice(-LONGEST_LOG) : text;
  if (isAtEnd) place.scrollTop = place.scrollHeight;
}

function ready(within) {
  for (const log of within.querySelectorAll("[data-log]:not([data-followed])")) {
    log.dataset.followed = "";
    followLog(log);
  }
  for (const form of within.querySelectorAll("form[data-confirm]")) {
    form.addEventListener("submit", (event) => {
      if (!window.confirm(form.dataset.confirm)) event.preventDefault();
    });
  }
}

// A picture that is not there takes no room.
for (const picture of document.querySelectorAll("img[data-optional]")) {
  const away = () => {
    picture.closest(".beside")?.classList.add("alone");
    picture.closest("figure").remove();
  };
  picture.addEventListener("error", away);
  if (picture.complete && picture.naturalWidth === 0 && picture.loading !== "lazy") away();
}

tellTimes(document);
ready(document);
if (document.body.dataset.follow) follow(document.body.dataset.follow);
