// Tells the page when records have changed, and sends forms as they are filled in.
"use strict";
(() => {
  document.documentElement.classList.add("has-script");
  const state = () => document.getElementById("live-state");
  const say = (words) => { if (state() && state().textContent !== words) state().textContent = words; };
  let pending = false;
  const tell = () => {
    pending = document.hidden;
    if (!document.hidden) document.body.dispatchEvent(new CustomEvent("live", { bubbles: true }));
  };
  document.addEventListener("visibilitychange", () => { if (pending) tell(); });
  const address = document.body.dataset.events;
  if (address) {
    const events = new EventSource(address);
    events.addEventListener("open", () => say("live"));
    events.addEventListener("change", tell);
    events.addEventListener("error", () => say("the server is not there; trying again"));
    addEventListener("pagehide", () => events.close());
  }
  // A choice is sent at once, words after a pause; Enter and the button send them too.
  for (const form of document.querySelectorAll("form[data-auto]")) {
    form.classList.add("auto");
    const send = () => {
      // What the form does not ask for stays: the order of the table, the columns of the scatter chart.
      const query = new URLSearchParams(location.search);
      for (const name of ["page", "from", "to"]) query.delete(name);
      for (const field of form.querySelectorAll("input:not([type=hidden]), select")) {
        if (field.value === "") query.delete(field.name); else query.set(field.name, field.value);
      }
      const url = `${form.getAttribute("action")}?${query}`;
      history.replaceState(history.state, "", url);
      htmx.ajax("GET", url, { target: "#table", select: "#table", swap: "outerHTML" });
      document.body.dispatchEvent(new CustomEvent("choice", { detail: query }));
    };
    let timer;
    form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
    form.addEventListener("change", (event) => { if (event.target.type !== "search") send(); });
    form.addEventListener("input", (event) => {
      if (event.target.type !== "search") return;
      clearTimeout(timer);
      timer = setTimeout(send, 250);
    });
  }
})();
