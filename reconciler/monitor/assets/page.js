// Makes the page live. Without it the page can be read just as well. It only ever puts the server's own page in place
// of the one that is shown; texts of others never become markup here.
"use strict";
(() => {
  let told = "";
  const say = (text) => {
    const state = document.querySelector("[data-state]");
    told = text;
    if (state && state.textContent !== text) { state.textContent = text; }
  };
  const log = document.querySelector("pre.log");

  const swap = (fresh) => {
    document.title = fresh.title;
    for (const part of document.querySelectorAll("[data-live]")) {
      const newer = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!newer || newer.innerHTML === part.dataset.was) { continue; }
      const open = new Set([...part.querySelectorAll("details[open]")].map((item) => item.id));
      const active = document.activeElement;
      const focused = part.contains(active) ? active.closest("[id]") : null;
      const address = part.contains(active) ? active.getAttribute("href") : null;
      part.dataset.was = newer.innerHTML;
      part.hidden = newer.hidden;
      part.replaceChildren(...document.importNode(newer, true).childNodes);
      for (const item of part.querySelectorAll("details")) { item.open = open.has(item.id); }
      say(told);
      if (address) { [...part.querySelectorAll("a")].find((item) => item.getAttribute("href") === address)?.focus(); }
      else if (focused) { document.getElementById(focused.id)?.querySelector("summary")?.focus(); }
    }
  };

  let wanted = false, busy = false;
  const refresh = async () => {
    wanted = true;
    if (busy || document.hidden) { return; }
    busy = true;
    while (wanted) {
      wanted = false;
      try {
        const answer = await fetch(location.href, { credentials: "same-origin" });
        if (answer.ok) {
          swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
          say("Live");
        }
      } catch { /* the stream of events tells when the monitor is away */ }
      await new Promise((done) => setTimeout(done, 300));
    }
    busy = false;
  };
  const overview = () => {
    say("Connecting");
    const events = new EventSource("/api/events");
    events.onopen = () => { say("Live"); refresh(); };
    events.onerror = () => say("The monitor does not answer; trying again.");
    for (const kind of ["status", "history"]) { events.addEventListener(kind, refresh); }
    document.addEventListener("visibilitychange", () => { if (!document.hidden) { refresh(); } });
  };

  const follow = (address) => {
    const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.scrollTop = log.scrollHeight;
    say("Connecting");
    const events = new EventSource(address);
    events.onopen = () => say("Live");
    events.onerror = () => say("The monitor does not answer; trying again.");
    events.addEventListener("lines", (event) => {
      const end = atEnd();
      for (const item of JSON.parse(event.data)) {
        const line = document.createElement("span"), time = document.createElement("time");
        line.className = `line ${item.stream === "stderr" ? "stderr" : "stdout"}`;
        time.textContent = item.time.slice(11, 19);
        line.append(time, ` ${item.line}\n`);
        log.append(line);
      }
      while (log.childElementCount > 5000) { log.firstElementChild.remove(); }
      if (end) { log.scrollTop = log.scrollHeight; }
    });
  };

  if (!log) { overview(); } else if (log.dataset.follow) { follow(log.dataset.follow); }
})();
