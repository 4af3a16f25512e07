// Brings the regions of the page anew from its one event stream, and asks before what cannot be taken back.
// All else is the server's: the page works without this file, and shows then what was true when it was loaded.
"use strict";

const address = document.body.dataset.stream;
const dot = document.getElementById("dot");

/** Whether somebody is at work in a region: it is left alone until they are done. */
function isInUse(region) {
  const selection = document.getSelection();
  return (
    (region.contains(document.activeElement) && document.activeElement !== document.body) ||
    (selection !== null && !selection.isCollapsed && region.contains(selection.anchorNode))
  );
}

/** Puts a region's new content, which the server has escaped, in the place of the old one. */
function show(name, html) {
  const region = document.querySelector(`[data-live="${CSS.escape(name)}"]`);
  if (region === null || isInUse(region)) return;
  const made = new DOMParser().parseFromString(html, "text/html");
  region.replaceChildren(...made.body.childNodes);
}

function say(state, title) {
  dot.className = `dot ${state}`;
  dot.title = title;
}

function listen() {
  const source = new EventSource(address);
  source.addEventListener("open", () => say("live", "Live"));
  source.addEventListener("regions", (event) => {
    say("live", "Live");
    for (const [name, html] of Object.entries(JSON.parse(event.data))) show(name, html);
  });
  source.addEventListener("trouble", (event) => say("trouble", JSON.parse(event.data).sentence));
  source.addEventListener("error", () => {
    say("lost", "Not connected; what you see is old");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // refused for now, or signed out
  });
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question !== undefined && !window.confirm(question)) event.preventDefault();
});

if (address !== undefined) listen();
