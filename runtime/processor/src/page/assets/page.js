// What pages gain by a script: the reader's own time, news as they happen, logs as they grow. All of it works without.
// Whatever comes from elsewhere becomes text, never markup: only whole answers of our own pages are parsed.
"use strict";

const SECOND = 1000;
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

// Fetches this page again and takes what is live of it; at most once a second, and once more for what came meanwhile.
let due = false;
let busy = false;
let last = "";

async function refresh() {
  due = true;
  if (busy) return;
  busy = true;
  while (due) {
    due = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (answer.ok) replace(await answer.text());
    } catch {
      tell("not connected", true);
    }
    await new Promise((done) => setTimeout(done, SECOND));
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
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    // A log that is being followed stays as long as it is the same one.
    for (const log of now.querySelectorAll("[data-log]")) {
      const kept = document.getElementById(log.id);
      if (kept) log.replaceWith(kept);
    }
    tellTimes(now);
    const opened = [...old.querySelectorAll("details")].map((details) => details.open);
    old.replaceChildren(...now.childNodes);
    old.querySelectorAll("details").forEach((details, place) => { details.open = opened[place] ?? details.open; });
    ready(old);
    if (focused) document.getElementById(focused)?.focus();
  }
}

const live = document.getElementById("live");

function tell(word, isLost) {
  if (!live) return;
  live.hidden = false;
  live.classList.toggle("lost", isLost);
  if (live.textContent !== word) live.textContent = word;
}

function follow(what) {
  const events = new EventSource(what === "*" ? "/v1/events" : `/v1/events?workflow=${encodeURIComponent(what)}`);
  let wasLost = false;
  events.onopen = () => {
    tell("live", false);
    // What happened while it was away, and what the page did not show yet.
    if (wasLost) refresh();
    wasLost = false;
  };
  events.onerror = () => {
    wasLost = true;
    tell(events.readyState === EventSource.CLOSED ? "reload this page" : "connecting", true);
  };
  for (const topic of TOPICS) events.addEventListener(`workflow.${topic}`, refresh);
}

// Appends what a job says, as text; of a long log the end is kept.
async function followLog(place) {
  const decoder = new TextDecoder();
  try {
    const answer = await fetch(place.dataset.log);
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
      const isAtEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
      const text = place.textContent + decoder.decode(value, { stream: true });
      place.textContent = text.length > LONGEST_LOG ? text.slice(-LONGEST_LOG) : text;
      if (isAtEnd) place.scrollTop = place.scrollHeight;
    }
  } catch {
    place.append("\n(the connection broke off: reload this page)");
  }
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
