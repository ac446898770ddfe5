// What pages gain with a script: times in the browser's zone, tables that stay current, a search that knows the zone its dates are in.
// Without it every page is complete, in UTC, and current as of its loading. No framework, nothing inline, nothing evaluated.
"use strict";

(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const format = (options) => new Intl.DateTimeFormat(undefined, { hourCycle: "h23", ...options });
  const clock = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const fine = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
  const short = format({ hour: "2-digit", minute: "2-digit" });
  const day = format({ day: "numeric", month: "short" });
  const dayOfYear = format({ day: "numeric", month: "short", year: "numeric" });
  const full = format({ dateStyle: "full", timeStyle: "long" });

  const showTimes = (root) => {
    const now = new Date();
    for (const element of root.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const hours = { minute: short, milli: fine }[element.dataset.style] || clock;
      const today = at.toDateString() === now.toDateString() && element.dataset.style !== "full";
      const date = at.getFullYear() === now.getFullYear() ? day : dayOfYear;
      element.textContent = today ? hours.format(at) : `${date.format(at)}, ${hours.format(at)}`;
      element.title = full.format(at);
    }
  };

  const prepareSearch = (form) => {
    const field = form.elements.namedItem("zone");
    if (field) field.value = zone;
    for (const note of form.querySelectorAll("[data-zone-name]")) note.textContent = zone;
    // Empty fields would only make the address long.
    form.addEventListener("submit", () => {
      for (const input of form.elements) if (input.name && input.value === "") input.disabled = true;
      if (field && !form.elements.namedItem("since").value && !form.elements.namedItem("until").value) field.disabled = true;
    });
    form.addEventListener("change", (event) => {
      if (event.target.type === "radio") form.requestSubmit();
    });
    // A page that comes back from the browser's memory must be usable again.
    window.addEventListener("pageshow", () => {
      for (const input of form.elements) input.disabled = false;
    });
  };

  // A row's markup as the server sent it, before any script touched it: comparing that tells whether it changed.
  const sources = new WeakMap();
  const remember = (root) => {
    for (const row of root.querySelectorAll("tbody[data-rows] > tr")) sources.set(row, row.innerHTML);
  };

  // Exchange what changed and nothing else, so that focus, selection and scroll position stay where they are. -> how many rows are new.
  const mergeRows = (body, fresh) => {
    const known = new Map([...body.rows].map((row) => [row.id, row]));
    let added = 0;
    let place = body.firstElementChild;
    for (const row of [...fresh.rows]) {
      const old = known.get(row.id);
      known.delete(row.id);
      if (old && sources.get(old) === sources.get(row)) {
        if (old === place) place = place.nextElementSibling;
        else body.insertBefore(old, place);
        continue;
      }
      if (!old || old.dataset.status !== row.dataset.status) row.classList.add("fresh");
      if (old === place && place) place = place.nextElementSibling;
      if (old) {
        const focused = old.contains(document.activeElement);
        old.replaceWith(row);
        if (focused) row.querySelector("a")?.focus();
      } else {
        body.insertBefore(row, place);
        added += 1;
      }
    }
    for (const row of known.values()) if (!row.contains(document.activeElement)) row.remove();
    return added;
  };

  // Two trees of one template: where they have the same shape only rows and the remaining leaves are exchanged, otherwise the whole.
  const merge = (here, there) => {
    const [bodies, fresh] = [here, there].map((root) => [...root.querySelectorAll("tbody[data-rows]")]);
    const shape = (root) => [...root.children].map((child) => child.className + (child.querySelector("table") ? "+" : "")).join("|");
    if (shape(here) !== shape(there) || bodies.length !== fresh.length) {
      here.replaceChildren(...there.childNodes);
      return 0;
    }
    let added = 0;
    for (const [index, body] of bodies.entries()) added = mergeRows(body, fresh[index]);
    const [places, values] = [here, there].map((root) => [...root.querySelectorAll(".sums, .pager")]);
    if (places.length === values.length)
      for (const [index, place] of places.entries()) if (!place.contains(document.activeElement)) place.replaceWith(values[index]);
    return added;
  };

  const keepCurrent = (region, panel) => {
    const [button, word] = [panel.querySelector("button"), panel.querySelector("[data-word]")];
    const voice = document.getElementById("live-voice");
    const every = Number(region.dataset.every) * 1000;
    let running = true;
    let tag = null;
    let timer = 0;
    let wait = every;
    const say = (state, text) => {
      panel.dataset.state = state;
      word.textContent = text;
    };
    const look = async () => {
      try {
        const asked = performance.now();
        const answer = await fetch(region.dataset.live, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", signal: AbortSignal.timeout(15000) });
        if (answer.status !== 304) {
          if (!answer.ok) throw new Error(String(answer.status));
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          remember(page);
          const added = merge(region, page.body);
          showTimes(region);
          tag = answer.headers.get("ETag");
          if (added) voice.textContent = added === 1 ? region.dataset.one : region.dataset.many.replace("%", added);
        }
        // A search that costs the server much is asked for less often.
        wait = Math.max(every, 8 * (performance.now() - asked));
        if (running) say("on", "Live");
      } catch {
        wait = Math.min(wait * 2, 60000);
        if (running) say("lost", "Reconnecting…");
      }
    };
    const again = async () => {
      window.clearTimeout(timer);
      if (!running || document.hidden) return;
      await look();
      window.clearTimeout(timer);
      timer = window.setTimeout(again, wait);
    };
    button.addEventListener("click", () => {
      running = !running;
      button.textContent = running ? "Pause" : "Resume";
      say(running ? "on" : "off", running ? "Live" : "Paused");
      if (running) again();
    });
    document.addEventListener("visibilitychange", () => {
      if (running && !document.hidden) again();
    });
    panel.hidden = false;
    timer = window.setTimeout(again, every);
  };

  const start = () => {
    remember(document);
    showTimes(document);
    for (const form of document.querySelectorAll("form[data-search]")) prepareSearch(form);
    const [region, panel] = [document.querySelector("[data-live]"), document.querySelector(".live")];
    if (region && panel) keepCurrent(region, panel);
  };
  start();
})();
