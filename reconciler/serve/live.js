"use strict";
(() => {
  const root = document.documentElement;
  const tools = document.querySelector(".tools");
  const box = document.getElementById("search");
  const only = document.getElementById("only");
  const found = document.getElementById("found");
  root.classList.add("js");
  tools.hidden = false;

  // -- search ----------------------------------------------------------------------------------

  const lists = [...document.querySelectorAll("details.list")].map((list) => list.id);
  const wasOpen = new Map(lists.map((id) => [id, document.getElementById(id).open]));

  function matches(row, words, pressed) {
    if (pressed && row.dataset.sign === "ok") return false;
    if (!words.length) return true;
    const text = row.textContent.toLowerCase();
    return words.every((word) => text.includes(word));
  }

  function filter() {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const pressed = only.getAttribute("aria-pressed") === "true";
    const filtered = words.length > 0 || pressed;
    const rows = document.querySelectorAll("[data-row]");
    let seen = 0;
    for (const row of rows) {
      row.hidden = filtered && !matches(row, words, pressed);
      seen += !row.hidden;
    }
    for (const id of lists) document.getElementById(id).open = filtered || wasOpen.get(id);
    found.textContent = filtered ? `${seen} of ${rows.length} rows` : "";
  }

  let waiting = 0;
  box.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 100);
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  only.addEventListener("click", () => {
    only.setAttribute("aria-pressed", String(only.getAttribute("aria-pressed") !== "true"));
    filter();
  });

  // -- commands --------------------------------------------------------------------------------

  document.addEventListener("click", async (event) => {
    const button = event.target.closest(".copy");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      const label = button.firstChild;
      label.data = "Copied";
      setTimeout(() => { label.data = "Copy"; }, 1500);
    } catch {
      // Without a secure context nobody may write there: it is selected, to be copied by hand.
      getSelection().selectAllChildren(code);
    }
  });

  // -- news ------------------------------------------------------------------------------------

  const live = document.getElementById("live");
  if (!live) return;
  const liveText = document.getElementById("live-text");
  const now = document.getElementById("now");
  const said = document.getElementById("said");
  const inside = "a[href], button, input, summary, [tabindex]";
  let version = root.dataset.version;
  live.hidden = false;

  // What the reader has done to an element that is about to be replaced.
  function before(id) {
    const old = document.getElementById(id);
    const scrolled = [...old.querySelectorAll(".scroll, .timeline")];
    return {
      id,
      old,
      open: [old, ...old.querySelectorAll("details")].filter((one) => one.open).map((one) => one.id),
      places: scrolled.map((one) => [one.scrollLeft, one.scrollTop]),
      focus: old.contains(document.activeElement)
        ? [old, ...old.querySelectorAll(inside)].indexOf(document.activeElement) : -1,
    };
  }

  function after({id, open, places, focus}) {
    const fresh = document.getElementById(id);
    for (const one of [fresh, ...fresh.querySelectorAll("details")]) {
      if (one.id && open.includes(one.id)) one.open = true;
    }
    [...fresh.querySelectorAll(".scroll, .timeline")].forEach((one, n) => {
      if (places[n] && (places[n][0] || places[n][1])) [one.scrollLeft, one.scrollTop] = places[n];
    });
    const target = focus < 0 ? null : [fresh, ...fresh.querySelectorAll(inside)][focus];
    if (target) target.focus({preventScroll: true});
    if (/-\d+$/.test(id)) fresh.classList.add("fresh");
  }

  function take(event) {
    performance.mark("news");
    const news = JSON.parse(event.data);
    const known = document.getElementById("headline").textContent;
    if (news.pieces.some(([id]) => !document.getElementById(id))) {
      location.reload();
      return;
    }
    // All is read before anything is written: a browser lays the page out once, not for each piece.
    const states = news.pieces.map(([id]) => before(id));
    news.pieces.forEach(([, html], n) => { states[n].old.outerHTML = html; });
    states.forEach(after);
    version = news.version;
    document.title = news.title;
    const headline = document.getElementById("headline").textContent;
    if (headline !== known) said.textContent = headline;
    if (box.value || only.getAttribute("aria-pressed") === "true") filter();
    ago();
    root.dataset.version = version;
    requestAnimationFrame(() => setTimeout(() => performance.measure("update", "news")));
  }

  function ago() {
    const place = document.getElementById("ago");
    if (!place) return;
    const ended = Date.parse(place.parentElement.querySelector("time").dateTime);
    const seconds = Math.max(0, Math.round((Date.now() - ended) / 1000));
    const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]
      .find(([size]) => seconds >= 2 * size || size === 1);
    place.textContent = `, ${Math.round(seconds / size)} ${unit} ago`;
  }

  function state(text, lost) {
    live.classList.toggle("lost", lost);
    if (liveText.textContent !== text) liveText.textContent = text;
    if (lost) now.textContent = "";
  }

  let source;
  function listen() {
    if (source) source.close();
    source = new EventSource(`events?epoch=${root.dataset.epoch}&since=${version}`);
    source.addEventListener("open", () => state("Live", false));
    source.addEventListener("news", take);
    source.addEventListener("now", (event) => { now.textContent = JSON.parse(event.data); });
    source.addEventListener("anew", () => location.reload());
    source.addEventListener("error", () => {
      state("Not live: the connection is lost, trying again", true);
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
    });
  }

  // A page that nobody sees needs no news; it gets them all when it is looked at again.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) source.close();
    else listen();
  });
  setInterval(ago, 1000);
  ago();
  listen();
})();
